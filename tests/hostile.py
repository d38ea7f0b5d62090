"""A hostile world: AWS as it is, but with payloads in every field that others write; and what may become of one.

Answers are changed where boto3 hands them out, so that each step reads payloads wherever AWS lets anybody have some.
Each payload holds MARK: wherever a view shows it, it has to be code and nothing else.
"""

import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

import mistune
from markdown_it import MarkdownIt

from runbook.environment import Environment
from runbook.markdown import is_known

MARK = "EVIL"
LISTENER = "http://127.0.0.1:9"

FORGED = "| ✓ | forged row |"


def payloads(address: str = LISTENER) -> tuple[str, ...]:
    """Texts that would fetch something from an address, lead there, run, or look like ours."""
    return (
        f"![EVIL]({address}/EVIL-md.png)",
        f"<img src={address}/EVIL-html.png onerror='window.hit=1'>",
        f"[EVIL]({address}/link)",
        f"[EVIL]\n\n[EVIL]: {address}/ref",
        f"![EVIL][x]\n[x]: {address}/EVIL-ref.png",
        f"<{address}/EVIL-auto>",
        f"{address}/EVIL-bare and www.EVIL.com and x@EVIL.com",
        "[EVIL](javascript:window.hit=1)",
        "<script>window.hit='EVIL'</script>",
        f"<iframe src={address}/EVIL-frame></iframe><svg onload=window.hit=1>EVIL</svg>",
        f"<details open ontoggle=window.hit=1><summary>EVIL</summary><style>@import '{address}/EVIL.css'</style>",
        f"</code></pre></details></td></table><object data={address}/EVIL-object></object>",
        "\x1b]8;;https://evil.example\x1b\\EVIL\x1b]8;;\x1b\\ \x1b[2J\x1b[1A\x07\r✓ everything EVIL is ok\x9b31m",
        "\u202eEVIL\u202c\u2066x\u2069\u200b\u200d\ufeff\u00ad\u2028✓ EVIL\u2029y\u0085z",
        f"EVIL\n{FORGED}\n\n# EVIL\n\n---\nEVIL\n===\n- EVIL\n1. EVIL\n> EVIL\n\n```\nEVIL\n```",
        f"`EVIL` ``EVIL`` ``` EVIL | EVIL \\| EVIL \\\\| {FORGED}",
        "`EVIL\\` \\`EVIL` *EVIL* __EVIL__ ~~EVIL~~",
        "$EVIL$ $$\\href{javascript:window.hit=1}{EVIL}$$ \\(EVIL\\) \\begin{EVIL}x\\end{EVIL} @@0@@EVIL",
        "&#x202e;EVIL &lt;img src=x onerror=window.hit=1&gt; &EVIL;",
        "=cmd|' /C EVIL'!A0 \"onmouseover=\"window.hit=1\" 'EVIL' [link=https://evil.example]EVIL[/link]",
        "[bold red]EVIL[/] {EVIL} {0} %s ${<EVIL>} {{EVIL}} {% EVIL %}",
        "\ud800EVIL\x00\x01\x7f",
    )


FREE_TEXT: Mapping[str, tuple[str, ...]] = {
    "cloudformation": ("StackStatusReason", "StatusReason", "ResourceStatusReason", "Description", "Tags.Value"),
    "cloudwatch": ("Dashboard.title",),
    "dynamodb": ("stack_name", "stack_version", "role_name", "created_at", "updated_at", "pinged_at", "partition"),
    "iam": ("Description", "Policy.Sid", "Policy.Condition"),
    "kms": ("Description", "Policy.Sid", "Policy.Condition"),
    "organizations": ("OrganizationalUnit.Name", "Account.Name", "Policy.Name", "Policy.Sid"),
    "s3": ("Policy.Sid", "Policy.Condition", "Policy.Resource"),
    "sns": ("DisplayName", "Policy.Sid", "Policy.Condition"),
    "sqs": ("Policy.Sid", "Policy.Condition"),
    "ssm": ("Version.Value",),
    "*": ("Error.Message",),
}
"""The fields that hold payloads, by service: AWS restricts all others to characters that mean nothing anywhere."""


class World:
    """An environment in which all of FREE_TEXT is hostile. `seen` counts what was replaced, by field and payload."""

    def __init__(self, environment: Environment, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self.seen: Counter[tuple[str, int]] = Counter()
        clients: Callable[..., Any] = environment.client
        known: set[int] = set()

        def client(*arguments: Any, **named: Any) -> Any:
            made = clients(*arguments, **named)
            if id(made) not in known:
                known.add(id(made))
                made.meta.events.register("after-call", self._changed)
            return made

        environment.client = client  # type: ignore[method-assign]

    def text(self, field: str, original: object) -> str:
        """The payload that stands in a field: always the same for the same value there."""
        number = zlib.crc32(f"{field}{original}".encode("utf-8", "replace")) % len(self._texts)
        self.seen[field, number] += 1
        # Half a character reaches nobody: AWS's answers are UTF-8.
        return self._texts[number].replace("\ud800", "")

    def _changed(self, *, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        service = str(model.service_model.service_name)
        if "Error" in parsed:
            parsed["Error"]["Message"] += f" {self.text('*.Error.Message', model.name)}"
        elif service == "dynamodb" and "Items" in parsed:
            parsed["Items"] = [*map(self._item, parsed["Items"]), self._made_up_item()]
        elif service == "organizations":
            for each in (*parsed.get("OrganizationalUnits", ()), *parsed.get("Accounts", ())):
                each["Name"] = f"{each['Name']} {self.text('organizations.Name', each['Id'])}"
        elif service == "cloudwatch" and "DashboardBody" in parsed:
            body = json.loads(parsed["DashboardBody"])
            titled = {"type": "text", "properties": {"title": self.text("cloudwatch.title", "x")}}
            parsed["DashboardBody"] = json.dumps({**body, "widgets": [*body["widgets"], titled]})
        else:
            self._inside(service, parsed)

    def _inside(self, service: str, value: Any) -> None:
        if isinstance(value, list):
            for each in value:
                self._inside(service, each)
        if not isinstance(value, dict):
            return
        for name, each in list(value.items()):
            if name in ("Policy", "PolicyDocument", "AssumeRolePolicyDocument", "Content") and each:
                value[name] = self._policy(service, each)
            elif name in ("StackStatusReason", "StatusReason", "ResourceStatusReason", "Description", "DisplayName"):
                value[name] = self.text(f"{service}.{name}", each)
            elif service == "cloudformation" and name == "Outputs":
                for output in each:
                    if output["OutputKey"] == "Version" and "AddOn" in {one["OutputKey"] for one in each}:
                        output["OutputValue"] = self.text("cloudformation.Version", output)
            elif service == "ssm" and name == "Parameters":
                for one in each:
                    if one["Name"].endswith("/Version"):
                        one["Value"] = self.text("ssm.Version", one["Name"])
            else:
                self._inside(service, each)
        if service == "cloudformation" and "StackId" in value and "StackStatus" in value:
            value["Tags"] = [*value.get("Tags", []), {"Key": "note", "Value": self.text("cloudformation.Tag", "x")}]
            value["StackStatusReason"] = self.text("cloudformation.StackStatusReason", value["StackId"])
        if service == "cloudformation" and "StackInstanceStatus" in value:
            value["StatusReason"] = self.text("cloudformation.StatusReason", value.get("Account"))

    def _policy(self, service: str, policy: Any) -> Any:
        document = json.loads(policy) if isinstance(policy, str) else policy

        def text(field: str, original: object) -> str:
            return self.text(f"{service}.Policy.{field}", original)

        for number, statement in enumerate(document.get("Statement", [])[:1]):
            statement["Sid"] = text("Sid", number)
        resource = next((each.get("Resource", "*") for each in document.get("Statement", [])), "*")
        first = resource if isinstance(resource, str) else resource[0]
        hostile: dict[str, Any] = {
            "Sid": text("Sid", "deny"),
            "Effect": "Deny",
            "Principal": "*",
            "Action": "*",
            "Resource": [f"{first.removesuffix('/*')}/{text('Resource', 'x')}*"],
            "Condition": {"StringEquals": {f"aws:PrincipalTag/{text('Condition', 'x')}": "x"}},
        }
        if service == "s3" and "Statement" in document:
            document["Statement"].append(hostile)
        return json.dumps(document) if isinstance(policy, str) else document

    def _item(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: {"S": self.text(f"dynamodb.{name}", item["account_id"])}
            if name in FREE_TEXT["dynamodb"] and name != "partition"
            else value
            for name, value in item.items()
        }

    def _made_up_item(self) -> dict[str, Any]:
        """An item that says nothing of what an item says: no part of it is ours."""
        names = ("account_id", "region", "stack_id", "organization_id", *FREE_TEXT["dynamodb"])
        return {name: {"S": self.text(f"dynamodb.{name}", "made up")} for name in names}


# --- what may become of a payload ------------------------------------------------------------------------------------

OUR_TAGS = {"details", "summary", "code", "br"}


def problems_of_text(text: str) -> Iterator[str]:
    """Return the effects that a text of several lines would have on a terminal."""
    for char in text:
        if char not in "\n\t" and (unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")):
            yield f"the character U+{ord(char):04X}"
    for line in text.splitlines():
        if line.lstrip("0123456789. >-#").startswith((MARK, FORGED, "✓ everything")):
            yield f"a forged line: {line!r}"


def problems_of_markdown(text: str) -> Iterator[str]:
    """Return the things that a renderer should not make of a text; three renderers do not agree about everything."""
    yield from problems_of_text(text)
    yield from _problems_of_tokens(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))
    plugins = ["table", "url", "strikethrough", "footnotes", "task_lists", "def_list", "math"]
    shown = mistune.create_markdown(escape=False, plugins=plugins)(text)
    yield from problems_of_html(str(shown), tags=MARKDOWN_TAGS)


MARKDOWN_TAGS = set(
    "p h1 h2 h3 h4 h5 h6 ul ol li strong em table thead tbody tr th td pre code br a details summary blockquote".split()
)


def _problems_of_tokens(tokens: Any) -> Iterator[str]:
    in_code = 0
    for token in tokens:
        if token.type == "inline":
            yield from _problems_of_tokens(token.children)
        elif token.type == "image":
            yield f"an image: {token.attrs}"
        elif token.type == "link_open" and not is_known(str(token.attrs["href"])):
            yield f"a link: {token.attrs}"
        elif token.type in ("html_inline", "html_block"):
            in_code += token.content.count("<code>") - token.content.count("</code>")
            rest = re.sub(r"</?(?:details|summary|code|br)>", "", token.content)
            if re.search(r"<[a-zA-Z/!?]", rest) or (MARK in rest and token.type == "html_inline"):
                yield f"a tag: {token.content!r}"
        elif token.type == "text" and MARK in token.content and not in_code:
            yield f"text that is no code: {token.content!r}"


class _Walk(HTMLParser):
    def __init__(self, tags: set[str]) -> None:
        super().__init__()
        self.tags = tags
        self.found: list[str] = []
        self._code = 0
        self.marks = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.tags:
            self.found.append(f"the tag {tag}")
        self._code += tag in CODE
        for name, value in attrs:
            address = name in ("href", "src", "data", "action", "formaction", "srcset", "poster", "background")
            if name.startswith("on") or (address and not _is_ours(value or "")):
                self.found.append(f"the attribute {name}={value!r}")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in CODE

    def handle_data(self, data: str) -> None:
        self.marks += data.count(MARK)
        if MARK in data and not self._code:
            self.found.append(f"text that is no code: {data!r}")
        # Where an element begins, no line does.
        self.found += problems_of_text(f"in the line: {data}")

    def handle_decl(self, decl: str) -> None:
        if decl.lower() != "doctype html":
            self.found.append(f"a declaration: {decl!r}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"a comment: {data!r}")

    def unknown_decl(self, data: str) -> None:
        self.found.append(f"a declaration: {data!r}")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"an instruction: {data!r}")


CODE = {"code", "pre", "text", "title"}
"""Elements in which a text from outside may stand: a picture's texts as well."""

HTML_TAGS = MARKDOWN_TAGS | set(
    "div span style caption h2 h5 section header main html meta body img b label input title svg text g rect path line "
    "circle defs marker".split()
)


def _is_ours(address: str) -> bool:
    return is_known(address) or address.startswith(("data:image/svg+xml,", "#"))


def problems_of_html(text: str, tags: set[str] = HTML_TAGS) -> list[str]:
    """Return the things that a browser should not make of a page."""
    walk = _Walk(tags)
    walk.feed(text)
    walk.close()
    return walk.found
