"""Certificates and keys as Rego values, in the form that OPA gives them: Go's fields, as JSON."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.der import inside

if TYPE_CHECKING:
    from cryptography import x509

    from guardrails.rego.values import Value

_SIGNATURES: Final = {
    "1.2.840.113549.1.1.4": 2,
    "1.2.840.113549.1.1.5": 3,
    "1.2.840.113549.1.1.11": 4,
    "1.2.840.113549.1.1.12": 5,
    "1.2.840.113549.1.1.13": 6,
    "1.2.840.10040.4.3": 7,
    "2.16.840.1.101.3.4.3.2": 8,
    "1.2.840.10045.4.1": 9,
    "1.2.840.10045.4.3.2": 10,
    "1.2.840.10045.4.3.3": 11,
    "1.2.840.10045.4.3.4": 12,
    "1.3.101.112": 16,
}
_PSS: Final = {"sha256": 13, "sha384": 14, "sha512": 15}
_PSS_OID: Final = "1.2.840.113549.1.1.10"

_NAME_LISTS: Final = {
    "2.5.4.6": "Country",
    "2.5.4.10": "Organization",
    "2.5.4.11": "OrganizationalUnit",
    "2.5.4.7": "Locality",
    "2.5.4.8": "Province",
    "2.5.4.9": "StreetAddress",
    "2.5.4.17": "PostalCode",
}
_NAME_TEXTS: Final = {"2.5.4.3": "CommonName", "2.5.4.5": "SerialNumber"}

_USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_EXTENDED_USES: Final = {
    "2.5.29.37.0": 0,
    "1.3.6.1.5.5.7.3.1": 1,
    "1.3.6.1.5.5.7.3.2": 2,
    "1.3.6.1.5.5.7.3.3": 3,
    "1.3.6.1.5.5.7.3.4": 4,
    "1.3.6.1.5.5.7.3.5": 5,
    "1.3.6.1.5.5.7.3.6": 6,
    "1.3.6.1.5.5.7.3.7": 7,
    "1.3.6.1.5.5.7.3.8": 8,
    "1.3.6.1.5.5.7.3.9": 9,
    "1.3.6.1.4.1.311.10.3.3": 10,
    "2.16.840.1.113730.4.1": 11,
    "1.3.6.1.4.1.311.2.1.22": 12,
    "1.3.6.1.4.1.311.61.1.1": 13,
}
_HANDLED: Final = frozenset(
    {f"2.5.29.{arc}" for arc in (14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54)}
    | {"1.3.6.1.5.5.7.1.1"}
)
_EXPLICIT_VERSION: Final = 0xA0


def certificate(cert: x509.Certificate) -> dict[Any, Value]:
    """A certificate.

    Raises:
        BuiltinError: its key is of a kind that is not shown.
        ValueError: an extension cannot be read.
    """
    tbs = inside(cert.tbs_certificate_bytes)
    issuer, _validity, subject, key = tbs[3:7] if tbs[0][0] == _EXPLICIT_VERSION else tbs[2:6]
    extensions = list(cert.extensions)
    return {
        "Raw": _text(_encoded(cert)),
        "RawTBSCertificate": _text(cert.tbs_certificate_bytes),
        "RawSubjectPublicKeyInfo": _text(key),
        "RawSubject": _text(subject),
        "RawIssuer": _text(issuer),
        "Signature": _text(cert.signature),
        "SignatureAlgorithm": _signature_algorithm(cert),
        **_public_key(cert),
        "Version": cert.version.value + 1,
        "SerialNumber": cert.serial_number,
        "Issuer": _name(cert.issuer),
        "Subject": _name(cert.subject),
        "NotBefore": cert.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "NotAfter": cert.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Extensions": [_extension(item) for item in extensions] or None,
        "ExtraExtensions": None,
        "UnhandledCriticalExtensions": [_arcs(oid) for oid in unhandled_extensions(cert)] or None,
        **_uses(cert.extensions),
        **_constraints(cert.extensions),
        **_identifiers(cert.extensions),
        **alternative_names(cert.extensions),
        **_name_constraints(cert.extensions),
        **_policies(cert.extensions),
    }


def unhandled_extensions(cert: x509.Certificate) -> list[x509.ObjectIdentifier]:
    """The critical extensions that nobody reads: what carries one cannot be relied on."""
    critical = [item.oid for item in cert.extensions if item.critical]
    return [oid for oid in critical if oid.dotted_string not in _HANDLED]


def request(csr: x509.CertificateSigningRequest) -> dict[Any, Value]:
    """A request for a certificate; its attributes are the extensions that it asks for.

    Raises:
        BuiltinError: its key is of a kind that is not shown.
        ValueError: an extension cannot be read.
    """
    info = inside(csr.tbs_certrequest_bytes)
    extensions = [_extension(item) for item in csr.extensions]
    asked = [
        {"Type": item["Id"], "Value": True if item["Critical"] else item["Value"]}
        for item in extensions
    ]
    extension_request = {"Type": [1, 2, 840, 113549, 1, 9, 14], "Value": [asked]}
    return {
        "Raw": _text(_encoded(csr)),
        "RawTBSCertificateRequest": _text(csr.tbs_certrequest_bytes),
        "RawSubjectPublicKeyInfo": _text(info[2]),
        "RawSubject": _text(info[1]),
        "Version": int.from_bytes(info[0][2:], "big"),
        "Signature": _text(csr.signature),
        "SignatureAlgorithm": _signature_algorithm(csr),
        **_public_key(csr),
        "Subject": _name(csr.subject),
        "Attributes": [extension_request] if asked else None,
        "Extensions": extensions or None,
        "ExtraExtensions": None,
        **alternative_names(csr.extensions),
    }


def private_key(key: Any) -> Value:
    """A private key: RSA, of an elliptic curve, or Ed25519.

    Raises:
        BuiltinError: it is of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415  # an extra
        ec,
        ed25519,
        rsa,
    )

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _text(key.private_bytes_raw() + key.public_key().public_bytes_raw())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        secret = key.private_numbers().private_value
        return {"Curve": {}, "X": point.x, "Y": point.y, "D": secret}
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BuiltinError(f"a {type(key).__name__} is not supported")
    numbers = key.private_numbers()
    computed = {"Dp": numbers.dmp1, "Dq": numbers.dmq1, "Qinv": numbers.iqmp, "CRTValues": []}
    return {
        "N": numbers.public_numbers.n,
        "E": numbers.public_numbers.e,
        "D": numbers.d,
        "Primes": [numbers.p, numbers.q],
        "Precomputed": computed,
    }


def alternative_names(extensions: x509.Extensions) -> dict[str, Value]:
    """The names of the subject beside its distinguished name, by their kinds."""
    from cryptography import x509  # noqa: PLC0415  # an extra

    names = _find(extensions, x509.SubjectAlternativeName)
    found: dict[str, list[Value]] = {
        "DNSNames": [],
        "EmailAddresses": [],
        "IPAddresses": [],
        "URIs": [],
    }
    for name in names or ():
        if isinstance(name, x509.DNSName):
            found["DNSNames"].append(name.value)
        elif isinstance(name, x509.RFC822Name):
            found["EmailAddresses"].append(name.value)
        elif isinstance(name, x509.IPAddress):
            found["IPAddresses"].append(str(name.value))
        elif isinstance(name, x509.UniformResourceIdentifier):
            found["URIs"].append(_uri(name.value))
    return {kind: values or None for kind, values in found.items()}


def uri_texts(extensions: x509.Extensions) -> Value:
    """The URIs among the subject's alternative names, as they stand there."""
    from cryptography import x509  # noqa: PLC0415  # an extra

    names = _find(extensions, x509.SubjectAlternativeName)
    if names is None:
        return None
    return names.get_values_for_type(x509.UniformResourceIdentifier) or None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _encoded(whole: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415  # an extra

    encoded: bytes = whole.public_bytes(Encoding.DER)
    return encoded


def _arcs(oid: Any) -> list[Value]:
    return [int(arc) for arc in oid.dotted_string.split(".")]


def _find(extensions: x509.Extensions, kind: Any) -> Any:
    return next((item.value for item in extensions if isinstance(item.value, kind)), None)


def _extension(item: Any) -> dict[Any, Value]:
    value = _text(item.value.public_bytes())
    return {"Id": _arcs(item.oid), "Critical": item.critical, "Value": value}


def _signature_algorithm(whole: Any) -> int:
    oid = whole.signature_algorithm_oid.dotted_string
    if oid == _PSS_OID:
        digest = whole.signature_hash_algorithm
        return _PSS.get(digest.name if digest else "", 0)
    return _SIGNATURES.get(oid, 0)


def _public_key(whole: Any) -> dict[str, Value]:
    from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415  # an extra
        ec,
        ed25519,
        rsa,
    )

    key = whole.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"PublicKeyAlgorithm": 1, "PublicKey": {"N": numbers.n, "E": numbers.e}}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        return {"PublicKeyAlgorithm": 3, "PublicKey": {"Curve": {}, "X": point.x, "Y": point.y}}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"PublicKeyAlgorithm": 4, "PublicKey": _text(key.public_bytes_raw())}
    raise BuiltinError(f"a certificate with a {type(key).__name__} is not supported")


def _name(name: x509.Name) -> dict[Any, Value]:
    lists: dict[str, list[Value]] = {field: [] for field in _NAME_LISTS.values()}
    texts: dict[str, Value] = dict.fromkeys(_NAME_TEXTS.values(), "")
    attributes: list[Value] = []
    for attribute in name:
        oid = attribute.oid.dotted_string
        value = attribute.value if isinstance(attribute.value, str) else _text(attribute.value)
        attributes.append({"Type": _arcs(attribute.oid), "Value": value})
        if oid in _NAME_LISTS:
            lists[_NAME_LISTS[oid]].append(value)
        elif oid in _NAME_TEXTS:
            texts[_NAME_TEXTS[oid]] = value
    known = {field: values or None for field, values in lists.items()}
    return {**known, **texts, "Names": attributes or None, "ExtraNames": None}


def _uses(extensions: x509.Extensions) -> dict[str, Value]:
    from cryptography import x509  # noqa: PLC0415  # an extra

    usage = _find(extensions, x509.KeyUsage)
    bits = 0
    if usage is not None:
        bits = sum(1 << place for place, field in enumerate(_USES) if getattr(usage, field))
        if usage.key_agreement:
            bits |= usage.encipher_only << 7 | usage.decipher_only << 8
    extended = list(_find(extensions, x509.ExtendedKeyUsage) or ())
    known = [oid for oid in extended if oid.dotted_string in _EXTENDED_USES]
    return {
        "KeyUsage": bits,
        "ExtKeyUsage": [_EXTENDED_USES[oid.dotted_string] for oid in known] or None,
        "UnknownExtKeyUsage": [_arcs(oid) for oid in extended if oid not in known] or None,
    }


def _constraints(extensions: x509.Extensions) -> dict[str, Value]:
    from cryptography import x509  # noqa: PLC0415  # an extra

    basic = _find(extensions, x509.BasicConstraints)
    length = basic.path_length if basic else 0
    longest = -1 if length is None else length
    return {
        "BasicConstraintsValid": basic is not None,
        "IsCA": basic is not None and basic.ca,
        "MaxPathLen": longest,
        "MaxPathLenZero": basic is not None and longest == 0,
    }


def _identifiers(extensions: x509.Extensions) -> dict[str, Value]:
    from cryptography import x509  # noqa: PLC0415  # an extra

    subject = _find(extensions, x509.SubjectKeyIdentifier)
    authority = _find(extensions, x509.AuthorityKeyIdentifier)
    issuer = authority.key_identifier if authority else None
    access = list(_find(extensions, x509.AuthorityInformationAccess) or ())
    lists = list(_find(extensions, x509.CRLDistributionPoints) or ())
    servers, issuers = (
        [item.access_location.value for item in access if item.access_method == method]
        for method in (
            x509.oid.AuthorityInformationAccessOID.OCSP,
            x509.oid.AuthorityInformationAccessOID.CA_ISSUERS,
        )
    )
    places = [name.value for point in lists for name in point.full_name or ()]
    return {
        "SubjectKeyId": None if subject is None else _text(subject.digest),
        "AuthorityKeyId": None if issuer is None else _text(issuer),
        "OCSPServer": servers or None,
        "IssuingCertificateURL": issuers or None,
        "CRLDistributionPoints": places or None,
    }


def _name_constraints(extensions: x509.Extensions) -> dict[str, Value]:
    from cryptography import x509  # noqa: PLC0415  # an extra

    limits = _find(extensions, x509.NameConstraints)
    critical = any(e.critical for e in extensions if e.value is limits)
    shown: dict[str, Value] = {"PermittedDNSDomainsCritical": critical}
    for word, trees in (
        ("Permitted", limits and limits.permitted_subtrees),
        ("Excluded", limits and limits.excluded_subtrees),
    ):
        for field, kind in (
            ("DNSDomains", x509.DNSName),
            ("EmailAddresses", x509.RFC822Name),
            ("URIDomains", x509.UniformResourceIdentifier),
        ):
            values = [tree.value for tree in trees or () if isinstance(tree, kind)]
            shown[f"{word}{field}"] = values or None
        networks: list[Any] = [
            tree.value for tree in trees or () if isinstance(tree, x509.IPAddress)
        ]
        ranges = [
            {"IP": str(network.network_address), "Mask": _text(network.netmask.packed)}
            for network in networks
        ]
        shown[f"{word}IPRanges"] = ranges or None
    return shown


def _policies(extensions: x509.Extensions) -> dict[str, Value]:
    from cryptography import x509  # noqa: PLC0415  # an extra

    listed = [item.policy_identifier for item in _find(extensions, x509.CertificatePolicies) or ()]
    limits = _find(extensions, x509.PolicyConstraints)
    inhibit = _find(extensions, x509.InhibitAnyPolicy)
    counts = {
        "InhibitAnyPolicy": inhibit.skip_certs if inhibit else None,
        "InhibitPolicyMapping": limits.inhibit_policy_mapping if limits else None,
        "RequireExplicitPolicy": limits.require_explicit_policy if limits else None,
    }
    return {
        "Policies": [oid.dotted_string for oid in listed] or None,
        "PolicyIdentifiers": [_arcs(oid) for oid in listed] or None,
        "PolicyMappings": None,
        **{field: count or 0 for field, count in counts.items()},
        **{f"{field}Zero": count == 0 for field, count in counts.items()},
    }


def _uri(text: str) -> dict[Any, Value]:
    parts = urlsplit(text)
    opaque = bool(parts.scheme) and re.match(r"[^:]*:[^/]", text) is not None
    return {
        "Scheme": parts.scheme,
        "Opaque": parts.path if opaque else "",
        "User": {} if "@" in parts.netloc else None,
        "Host": parts.netloc.rpartition("@")[2],
        "Path": "" if opaque else unquote(parts.path),
        "RawPath": "",
        "OmitHost": False,
        "ForceQuery": text.endswith("?"),
        "RawQuery": parts.query,
        "Fragment": unquote(parts.fragment),
        "RawFragment": "",
    }
