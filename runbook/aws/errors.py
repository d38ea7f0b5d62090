"""What AWS answers when it refuses, as people read it."""

from botocore.exceptions import ClientError


def code(error: ClientError) -> str:
    """The error's code, for example `AccessDenied`; for calls without a body (HEAD) the HTTP status, `403`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def sentence(error: ClientError) -> str:
    """`AccessDenied (GetBucketPolicy): message`."""
    message = str(error.response.get("Error", {}).get("Message", "")).strip()
    return f"{code(error)} ({error.operation_name})" + (f": {message}" if message else "")
