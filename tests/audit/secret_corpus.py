"""Secrets of every form that is known, made up; and texts that are none."""

from __future__ import annotations

_D = "0123456789"
_L = "abcdefghijklmnopqrstuvwxyz"
_U = _L.upper()

# Put together here, so that scanners of repositories find nothing in this file.
SECRETS = {
    "aws-access-key": "AK" + "IA" + "IOSFODNN7EXAMPLE",
    "github-token": "gh" + "p_" + (_L + _D)[:36],
    "github-pat": "github" + "_pat_" + "11ABCDEFG0" + _L,
    "gitlab-token": "gl" + "pat-" + "x1y2z3a4b5c6d7e8f9g0",
    "google-api-key": "AI" + "za" + "SyA1234567890abcdefghijklmnopqrstuv",
    "slack-token": "xox" + "b-1234567890-abcdefGHIJ",
    "slack-webhook": "https://hooks.slack" + ".com/services/T000/B000/" + _L,
    "anthropic-key": "sk" + "-ant-api03-" + _L + _D,
    "openai-project": "sk" + "-proj-" + _L + _D,
    "openai-key": "sk" + "-" + (_L + _D + _U)[:48],
    "stripe-key": "sk" + "_live_" + (_L + _D)[:24],
    "webhook-secret": "wh" + "sec_" + (_L + _D)[:32],
    "npm-token": "np" + "m_" + (_L + _D)[:36],
    "hugging-face": "h" + "f_" + (_L + _U)[:34],
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0",
    "private-key": "-----BEGIN RSA PRIV" + "ATE KEY-----\nMIIEow\nabc+/=\n-----END RSA PRIV"
    "ATE KEY-----",
    "bearer": "Authorization: Bea" + "rer " + "0a1b2c3d4e5f6g7h8i9j",
    "basic": "Authorization: Basic ZGFuYTpodW50ZXIy",
    "assignment": "password=hunter2-and-more",
    "quoted": 'client_secret": "hunter2-and-more"',
}

CORES = {
    **SECRETS,
    "slack-webhook": "B000/" + _L,
    "private-key": "MIIEow",
    "bearer": "0a1b2c3d4e5f6g7h8i9j",
    "basic": "ZGFuYTpodW50ZXIy",
    "assignment": "hunter2-and-more",
    "quoted": "hunter2-and-more",
}
"""What of each must be nowhere."""

PLAIN = (
    "refund the second order of A-17, please",
    "task-force-operations-team-number-twelve",
    "0198d7a1-45a1-7215-a860-000000000001",
    "sha256:" + "0a" * 32,
    "basic understanding of responsibilities",
    "the secret of a good soup",
    "https://example.com/a/b?page_token=2",
    "sk-learn is a library",
    "eyJ",
)
