"""What is likely behind the reason that CloudFormation gives for a connection that could not be made."""

import re

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"service control policy|explicit deny in a service",
        "Likely: a service control policy of the organization forbids it there. Leave the account out, or have the "
        "policy let CloudFormation make this role.",
    ),
    (
        r"already exists",
        "Likely: the account is connected in another way, by a stack of its own or from another Region. Keep that "
        "connection and leave the account out, or delete its stack first.",
    ),
    (
        r"sns:Publish|not authorized to perform: SNS|topic does not exist|AccountConnectionTopic|NotFound.*sns",
        "Likely: bucketAV does not let the account in. Put it, or its organization, on the list first (01-allowlist).",
    ),
    (
        r"failed to receive|did not (respond|receive)|timed? ?out",
        "Likely: bucketAV never got the message, or never answered it. See whether the account is on its list "
        "(01-allowlist), and the alarms of its stack.",
    ),
    (
        r"itself",
        "Account a runs bucketAV and cannot be connected to itself. Leave it out.",
    ),
    (
        r"failure tolerance|cancelled since|canceled since",
        "The account was not come to, because more had failed than `failure_tolerance` lets. Put the others right, or "
        "allow more, and run this again.",
    ),
    (
        r"suspended",
        "The account is suspended. It needs no connection.",
    ),
    (
        r"stacksets-exec|AWSCloudFormationStackSetExecution|cannot assume|sts:AssumeRole",
        "Likely: StackSets cannot work in the account. See whether trusted access is on, and whether a policy of the "
        "organization stands against it.",
    ),
    (
        r"AccessDenied|not authorized|UnauthorizedOperation",
        "Likely: who creates the stack may not do that in the account.",
    ),
)


def likely_cause(reason: str) -> str:
    """A sentence or two on what a reason usually means, and what to do; empty where nothing is known."""
    for pattern, cause in _CAUSES:
        if re.search(pattern, reason, re.IGNORECASE):
            return cause
    return ""
