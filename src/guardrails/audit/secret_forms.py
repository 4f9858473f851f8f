"""The forms of secrets that are known by sight, as patterns of RE2: linear time on every text.

Each is the issuer's documented form, as scanners of repositories know it. A token is found also
where other letters touch it, so that nothing hides one; forms that plain words have are left out.
That a text looks random is no form: ids and digests do, and a record is full of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Form(NamedTuple):
    """One form.

    Attributes:
        kind: What the record says stood there.
        pattern: In RE2's syntax; where it has a group, the group is the secret.
    """

    kind: str
    pattern: str


_KEY_BLOCK: Final = r"(?:[A-Z0-9 ]{0,40})PRIVATE KEY(?: BLOCK)?-----"
_NAMES: Final = (
    r"(?:passwo?r?d|passwd|passphrase|pwd|secret|credentials?|api[ _-]?key|access[ _-]?key"
    r"|private[ _-]?key|secret[ _-]?key|(?:auth|access|refresh|session|bearer)[ _-]?token)"
)

FORMS: Final = (
    Form("private-key", rf"(?s)-----BEGIN {_KEY_BLOCK}.*?(?:-----END {_KEY_BLOCK}|\z)"),
    Form("private-key", r"PuTTY-User-Key-File-\d+:(?s:.*)"),
    Form("private-key", r"AGE-SECRET-KEY-1[0-9A-Z]{20,}"),
    Form("aws-access-key", r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    Form("github-token", r"gh[pousr]_[A-Za-z0-9]{30,}"),
    Form("github-token", r"github_pat_[A-Za-z0-9_]{22,}"),
    Form("gitlab-token", r"gl(?:pat|ptt|rt|dt|cbt|soat|imt|agent|ft|oas)-[A-Za-z0-9_-]{20,}"),
    Form("google-api-key", r"AIza[A-Za-z0-9_-]{35}"),
    Form("google-oauth", r"ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"),
    Form("slack-token", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"),
    Form(
        "slack-webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_+-]{20,}"
    ),
    Form("anthropic-key", r"sk-ant-[A-Za-z0-9_-]{20,}"),
    Form("openai-key", r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{32,}"),
    Form("openrouter-key", r"sk-or-(?:v\d+-)?[A-Za-z0-9_-]{20,}"),
    Form("stripe-key", r"[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}"),
    Form("webhook-secret", r"whsec_[A-Za-z0-9+/=_-]{20,}"),
    Form("npm-token", r"npm_[A-Za-z0-9]{36}"),
    Form("pypi-token", r"pypi-[A-Za-z0-9_-]{50,}"),
    Form("hugging-face-token", r"(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    Form("sendgrid-key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    Form("twilio-key", r"SK[0-9a-f]{32}"),
    Form("digitalocean-token", r"do[opr]_v1_[a-f0-9]{64}"),
    Form("databricks-token", r"dapi[a-f0-9]{32}"),
    Form("vault-token", r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    Form("shopify-token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    Form("telegram-token", r"\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    Form("azure-key", r"(?i:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}"),
    Form("run-token", r"gr1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"),
    Form("jwt", r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){2,4}"),
    Form("bearer-token", r"(?i)bearer[\s\\'\"]+([A-Za-z0-9._~+/-]{16,}=*)"),
    Form(
        "authorization",
        r"(?i)authorization[\\'\"]*\s*[:=]\s*[\\'\"]*"
        r"(?:basic\s+|bearer\s+|token\s+|digest\s+)?([^\s'\"\\,;]{6,})",
    ),
    Form("url-password", r"(?i)[a-z][a-z0-9+.-]{0,30}://[^/\s:@'\"]{0,256}:([^/\s@'\"]{1,256})@"),
    Form(
        "named-secret",
        rf"(?i){_NAMES}[\\'\"]*\s*(?::=|=>|[:=])\s*[\\'\"]*([^\s'\"\\,;&}}\])<>]{{4,}})",
    ),
)
"""They. The first that fits a place names it."""

CARD: Final = Form("card-number", r"(?:\d[ -]?){12,18}\d")
"""What may be a payment card's number, whose last digit has to fit (ISO/IEC 7812, Luhn)."""
