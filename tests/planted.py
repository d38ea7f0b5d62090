"""Secrets that tests put where they may leak, and the search for them in what came out."""

import json
from urllib.parse import quote

KEY_ID = "ASIAQWERTYUIOPASDFGH"
KEY = "x9Kf/Qm3+ZtR7vLw0HsYbN2cUeJ5gPaD8oXiTq1M"
TOKEN = "IQoJb3JpZ2luX2VjE" + "Ab+/9xQz" * 40 + "=="
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + f"{KEY}{KEY}\n" * 12 + "-----END RSA PRIVATE KEY-----"
XML = (
    f"<AssumeRoleResult><Credentials><AccessKeyId>{KEY_ID}</AccessKeyId><SecretAccessKey>{KEY}</SecretAccessKey>"
    f"<SessionToken>{TOKEN}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>"
)
JSON = json.dumps({"AccessKeyId": KEY_ID, "SecretAccessKey": KEY, "SessionToken": TOKEN, "Expiration": "2999"})
PRESIGNED = (
    f"https://b.s3.amazonaws.com/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F20260101%2Feu-west-1"
    f"%2Fs3%2Faws4_request&X-Amz-Security-Token={quote(TOKEN, safe='')}&X-Amz-Signature={HEX}"
)
SUBSCRIBE = (
    "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    f"&TopicArn=arn:aws:sns:eu-west-1:111111111111:topic&Token={HEX}{HEX}"
)

SECRETS = (KEY, TOKEN, HEX, KEY_ID)


def leaked(text: str, values: tuple[str, ...] = SECRETS, length: int = 12) -> set[str]:
    """Return the parts of that length of secrets that a text has."""
    return {
        part
        for value in values
        for start in range(len(value) - length + 1)
        for part in (value[start : start + length],)
        if part in text
    }
