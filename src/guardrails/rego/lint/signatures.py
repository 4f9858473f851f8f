"""What each builtin of Rego takes and gives, as OPA 1.20 declares it.

One line a builtin: its name, the types of its arguments, and the type of its result. A test
compares the table with what an OPA binary says of itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.types import Type, type_of_text

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of a builtin's arguments, and of its result."""

    args: tuple[Type, ...]
    result: Type


DEPRECATED: Final = frozenset(
    {"all", "any", "cast_array", "cast_boolean", "cast_null", "cast_object", "cast_set"}
    | {"cast_string", "net.cidr_overlap", "re_match", "set_diff"}
)
"""The builtins that OPA refuses in strict mode."""

_LINE: Final = re.compile(r"(?P<name>[^(]+)\((?P<args>[^)]*)\) (?P<result>.+)")
_TABLE: Final = """
abs(number) number
all(array[any]|set[any]) boolean
and(set[any] set[any]) set[any]
any(array[any]|set[any]) boolean
array.concat(array[any] array[any]) array[any]
array.flatten(array[any]) array[any]
array.reverse(array[any]) array[any]
array.slice(array[any] number number) array[any]
assign(any any) boolean
base64.decode(string) string
base64.encode(string) string
base64.is_valid(string) boolean
base64url.decode(string) string
base64url.encode(string) string
base64url.encode_no_pad(string) string
bits.and(number number) number
bits.lsh(number number) number
bits.negate(number) number
bits.or(number number) number
bits.rsh(number number) number
bits.xor(number number) number
cast_array(any) array[any]
cast_boolean(any) boolean
cast_null(any) null
cast_object(any) object[any]
cast_set(any) set[any]
cast_string(any) string
ceil(number) number
concat(string array[string]|set[string]) string
contains(string string) boolean
count(string|array[any]|object[any]|set[any]) number
crypto.hmac.equal(string string) boolean
crypto.hmac.md5(string string) string
crypto.hmac.sha1(string string) string
crypto.hmac.sha256(string string) string
crypto.hmac.sha512(string string) string
crypto.md5(string) string
crypto.parse_private_keys(string) array[object[any]]
crypto.sha1(string) string
crypto.sha256(string) string
crypto.x509.parse_and_verify_certificates(string) tuple[boolean,array[object[any]]]
crypto.x509.parse_and_verify_certificates_with_options(string object[any])\\
     tuple[boolean,array[object[any]]]
crypto.x509.parse_certificate_request(string) object[any]
crypto.x509.parse_certificates(string) array[object[any]]
crypto.x509.parse_keypair(string string) object[any]
crypto.x509.parse_rsa_private_key(string) object[any]
div(number number) number
endswith(string string) boolean
eq(any any) boolean
equal(any any) boolean
floor(number) number
format_int(number number) string
glob.match(string null|array[string] string) boolean
glob.quote_meta(string) string
graph.reachable(object[array[any]|set[any]] array[any]|set[any]) set[any]
graph.reachable_paths(object[array[any]|set[any]] array[any]|set[any]) set[array[any]]
graphql.is_valid(string|object[any] string|object[any]) boolean
graphql.parse(string|object[any] string|object[any]) tuple[object[any],object[any]]
graphql.parse_and_verify(string|object[any] string|object[any])\\
     tuple[boolean,object[any],object[any]]
graphql.parse_query(string) object[any]
graphql.parse_schema(string) object[any]
graphql.schema_is_valid(string|object[any]) boolean
gt(any any) boolean
gte(any any) boolean
hex.decode(string) string
hex.encode(string) string
http.send(object[any]) object[any]
indexof(string string) number
indexof_n(string string) array[number]
internal.member_2(any any) boolean
internal.member_3(any any any) boolean
internal.print(array[set[any]]) boolean
internal.template_string(array[any]) string
internal.test_case(array[any]) boolean
intersection(set[set[any]]) set[any]
io.jwt.decode(string) tuple[object[any],object[any],string]
io.jwt.decode_verify(string object[any]) tuple[boolean,object[any],object[any]]
io.jwt.encode_sign(object[any] object[any] object[any]) string
io.jwt.encode_sign_raw(string string string) string
io.jwt.verify_eddsa(string string) boolean
io.jwt.verify_es256(string string) boolean
io.jwt.verify_es384(string string) boolean
io.jwt.verify_es512(string string) boolean
io.jwt.verify_hs256(string string) boolean
io.jwt.verify_hs384(string string) boolean
io.jwt.verify_hs512(string string) boolean
io.jwt.verify_ps256(string string) boolean
io.jwt.verify_ps384(string string) boolean
io.jwt.verify_ps512(string string) boolean
io.jwt.verify_rs256(string string) boolean
io.jwt.verify_rs384(string string) boolean
io.jwt.verify_rs512(string string) boolean
is_array(any) boolean
is_boolean(any) boolean
is_null(any) boolean
is_number(any) boolean
is_object(any) boolean
is_set(any) boolean
is_string(any) boolean
json.filter(object[any] array[string|array[any]]|set[string|array[any]]) object[any]
json.is_valid(string) boolean
json.marshal(any) string
json.marshal_with_options(any object[any]) string
json.match_schema(string|object[any] string|object[any]) tuple[boolean,array[object[any]]]
json.patch(any array[object[any]]) any
json.remove(object[any] array[string|array[any]]|set[string|array[any]]) object[any]
json.unmarshal(string) any
json.verify_schema(string|object[any]) tuple[boolean,null|string]
lower(string) string
lt(any any) boolean
lte(any any) boolean
max(array[any]|set[any]) any
min(array[any]|set[any]) any
minus(number|set[any] number|set[any]) number|set[any]
mul(number number) number
neq(any any) boolean
net.cidr_contains(string string) boolean
net.cidr_contains_matches(string|array[string|array[any]]|object[string|array[any]]|set[string|\\
    array[any]]\\
     string|array[string|array[any]]|object[string|array[any]]|set[string|array[any]])\\
     set[tuple[any,any]]
net.cidr_expand(string) set[string]
net.cidr_intersects(string string) boolean
net.cidr_is_valid(string) boolean
net.cidr_merge(array[string]|set[string]) set[string]
net.cidr_overlap(string string) boolean
net.lookup_ip_addr(string) set[string]
numbers.range(number number) array[number]
numbers.range_step(number number number) array[number]
object.filter(object[any] array[any]|object[any]|set[any]) object[any]
object.get(object[any] any any) any
object.keys(object[any]) set[any]
object.remove(object[any] array[any]|object[any]|set[any]) object[any]
object.subset(array[any]|object[any]|set[any] array[any]|object[any]|set[any]) boolean
object.union(object[any] object[any]) object[any]
object.union_n(array[object[any]]) object[any]
opa.runtime() object[any]
or(set[any] set[any]) set[any]
plus(number number) number
product(array[number]|set[number]) number
providers.aws.sign_req(object[any] object[any] number) object[any]
rand.intn(string number) number
re_match(string string) boolean
regex.find_all_string_submatch_n(string string number) array[array[string]]
regex.find_n(string string number) array[string]
regex.globs_match(string string) boolean
regex.is_valid(string) boolean
regex.match(string string) boolean
regex.replace(string string string) string
regex.split(string string) array[string]
regex.template_match(string string string string) boolean
rego.metadata.chain() array[any]
rego.metadata.rule() any
rego.parse_module(string string) object[any]
rem(number number) number
replace(string string string) string
round(number) number
semver.compare(string string) number
semver.is_valid(any) boolean
set_diff(set[any] set[any]) set[any]
sort(array[any]|set[any]) array[any]
split(string string) array[string]
sprintf(string array[any]) string
startswith(string string) boolean
strings.any_prefix_match(string|array[string]|set[string] string|array[string]|set[string])\\
     boolean
strings.any_suffix_match(string|array[string]|set[string] string|array[string]|set[string])\\
     boolean
strings.count(string string) number
strings.render_template(string object[any]) string
strings.replace_n(object[string] string) string
strings.reverse(string) string
strings.split_n(string string number) array[string]
substring(string number number) string
sum(array[number]|set[number]) number
time.add_date(number number number number) number
time.clock(number|tuple[number,string]) tuple[number,number,number]
time.date(number|tuple[number,string]) tuple[number,number,number]
time.diff(number|tuple[number,string] number|tuple[number,string])\\
     tuple[number,number,number,number,number,number]
time.format(number|tuple[number,string]|tuple[number,string,string]) string
time.now_ns() number
time.parse_duration_ns(string) number
time.parse_ns(string string) number
time.parse_rfc3339_ns(string) number
time.weekday(number|tuple[number,string]) string
to_number(null|boolean|number|string) number
trace(string) boolean
trim(string string) string
trim_left(string string) string
trim_prefix(string string) string
trim_right(string string) string
trim_space(string) string
trim_suffix(string string) string
type_name(any) string
union(set[set[any]]) set[any]
units.parse(string) number
units.parse_bytes(string) number
upper(string) string
uri.is_valid(string) boolean
uri.parse(string) object[string]
urlquery.decode(string) string
urlquery.decode_object(string) object[array[string]]
urlquery.encode(string) string
urlquery.encode_object(object[string|array[string]|set[string]]) string
uuid.parse(string) object[any]
uuid.rfc4122(string) string
walk(any) tuple[array[any],any]
yaml.is_valid(string) boolean
yaml.marshal(any) string
yaml.unmarshal(string) any
"""


def _read(table: str) -> Mapping[str, Signature]:
    found = {}
    for line in _LINE.finditer(table.replace("\\\n    ", "")):
        args = tuple(type_of_text(text) for text in line["args"].split())
        found[line["name"].strip()] = Signature(args, type_of_text(line["result"]))
    return MappingProxyType(found)


SIGNATURES: Final = _read(_TABLE)
"""The signature of each builtin with a fixed number of arguments, by name."""

__all__ = ["DEPRECATED", "SIGNATURES", "Signature"]
