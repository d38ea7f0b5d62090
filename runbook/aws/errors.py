"""What AWS answers when it refuses, as people read it."""

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError


def code(error: ClientError) -> str:
    """The error's code, for example `AccessDenied`; for calls without a body (HEAD) the HTTP status, `403`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def sentence(error: ClientError) -> str:
    """`AccessDenied (GetBucketPolicy): message`."""
    message = str(error.response.get("Error", {}).get("Message", "")).strip()
    return f"{code(error)} ({error.operation_name})" + (f": {message}" if message else "")


def in_words(error: Exception) -> str | None:
    """A sentence for what AWS or the way there answered; None for anything else, defects of ours among it."""
    if isinstance(error, ClientError):
        return f"AWS refused a call: {sentence(error)}"
    if isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError):
        return (
            f"AWS cannot be reached: {error}\n"
            "Check the network, the profile and the Region in params/environments/, and log in "
            "(for example `aws sso login --profile NAME`)."
        )
    return None
