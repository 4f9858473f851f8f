"""An archive gives exactly its plain files, or it is refused; nothing else comes of one."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.opa.archives import gzipped, member, packed, policy_files, tar_of, tar_with

from guardrails.errors import PolicyLoadError
from guardrails.rego import tar_blocks
from guardrails.rego.archive import ArchiveLimits, read_archive, read_directory

FILES = policy_files("r1")
SMALL = ArchiveLimits(archive=1 << 16, file=1 << 12, total=1 << 13, files=20, path=100, depth=5)


def refused(content: bytes, limits: ArchiveLimits = SMALL) -> str:
    """Why an archive is refused."""
    with pytest.raises(PolicyLoadError) as caught:
        read_archive(content, "b.tar.gz", limits)
    assert caught.value.file == "b.tar.gz"
    return caught.value.message


@pytest.mark.parametrize("slash", [True, False])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_its_files_are_read_whatever_form_the_tar_has(slash, form) -> None:
    long = "/".join(["directory"] * 12) + "/äöü.rego"
    files = {**FILES, "x/data.json": b"{}"}
    if form != tarfile.USTAR_FORMAT:
        files[long] = b"package x"
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        tar.addfile(member("x/", tarfile.DIRTYPE))
        for path, content in files.items():
            info = member(f"{'/' if slash else './'}{path}", size=len(content))
            tar.addfile(info, io.BytesIO(content))
    assert read_archive(gzipped(made.getvalue()), "b") == files


def test_an_archive_that_is_cut_off_anywhere_is_refused() -> None:
    content = packed(FILES)
    for end in range(len(content)):
        refused(content[:end])


def test_a_tar_that_is_cut_off_at_any_block_is_refused() -> None:
    tar = tar_of(FILES)
    blocks = len(tar.rstrip(b"\0")) // 512 + 1
    for end in [*range(0, blocks * 512 + 1, 512), *range(1, len(tar), 97)]:
        if tar[end:].count(0) == len(tar) - end and end >= (blocks + 2) * 512:
            continue  # the end marker is whole, and behind it were zeros
        refused(gzipped(tar[:end]))


def test_a_flipped_bit_is_refused_or_changes_nothing() -> None:
    content = packed(FILES)
    changed = 0
    for at in range(len(content)):
        for bit in (0, 3, 7):
            flipped = bytearray(content)
            flipped[at] ^= 1 << bit
            try:
                found = read_archive(bytes(flipped), "b", SMALL)
            except PolicyLoadError:
                changed += 1
                continue
            assert found == FILES, (at, bit)
    assert changed > len(content) * 2


def test_a_flipped_bit_of_the_tar_changes_a_content_or_a_name_and_nothing_else() -> None:
    tar = tar_of(FILES)
    for at in range(0, len(tar), 7):
        flipped = bytearray(tar)
        flipped[at] ^= 1 << at % 8
        try:
            found = read_archive(gzipped(bytes(flipped)), "b", SMALL)
        except PolicyLoadError:
            continue
        assert found.keys() == FILES.keys()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x.rego", "elsewhere"),
        ("/../x.rego", "elsewhere"),
        ("a/../x.rego", "elsewhere"),
        ("a/./x.rego", "elsewhere"),
        ("//x.rego", "elsewhere"),
        ("a//x.rego", "elsewhere"),
        ("", "elsewhere"),
        ("C:\\x.rego", "not accepted"),
        ("..\\x.rego", "not accepted"),
        ("a\u202ego.rego", "not accepted"),
        ("a\nb.rego", "not accepted"),
        ("a\x1b[2J.rego", "not accepted"),
        ("/".join("abcdef") + "/x.rego", "deeper"),
        ("a" * 200, "longer"),
    ],
)
def test_a_path_that_leads_elsewhere_or_deceives_is_refused(name, said) -> None:
    assert said in refused(gzipped(tar_with(member(name, size=1), content=b"x")))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.CONTTYPE, "contiguous"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"Z", "unknown type"),
    ],
)
def test_what_is_no_file_is_refused(kind, said) -> None:
    info = member("data.json", kind, linkname="/etc/passwd")
    assert said in refused(gzipped(tar_with(info)))


@pytest.mark.parametrize(
    "names",
    [
        ("data.json", "data.json"),
        ("data.json", "/data.json"),
        ("data.json", "./data.json"),
        ("a/data.json", "A/data.json"),
        ("a.rego", "A.rego"),
        ("é.rego", "e\u0301.rego"),
        ("ﬁ.rego", "fi.rego"),
        ("straße/x.rego", "strasse/x.rego"),
        ("a", "a/b"),
        ("a/b", "a"),
    ],
)
def test_two_files_that_are_one_somewhere_are_refused(names) -> None:
    tar = tar_with(*(member(name, size=1) for name in names), content=b"x")
    said = refused(gzipped(tar))
    assert "twice" in said or "one name" in said or "a file and a directory" in said


def test_each_limit_holds() -> None:
    assert "files" in refused(gzipped(tar_of({f"{n}.txt": b"" for n in range(21)})))
    assert "files" in refused(
        gzipped(tar_with(*(member(f"d{n}/", tarfile.DIRTYPE) for n in range(21))))
    )
    assert "`x.txt` is larger" in refused(gzipped(tar_of({"x.txt": b"y" * 4097})))
    assert "unpacked" in refused(gzipped(tar_of({f"{n}.txt": b"y" * 4000 for n in range(3)})))
    assert "bytes, more than" in refused(b"\x1f\x8b" + b"x" * (1 << 16))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    packing = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packing.compress(bytes(1 << 20)) for _ in range(48)) + packing.flush()
    assert len(bomb) < 1 << 19
    assert "unpacked" in refused(bomb, ArchiveLimits(total=1 << 20))


def test_what_stands_behind_the_end_is_refused() -> None:
    content = packed(FILES)
    assert "another gzip" in refused(content + content)
    assert "is something" in refused(content + b"x")
    assert "is something" in refused(content + bytes(1))
    tar = tar_of(FILES)
    assert "behind it" in refused(gzipped(tar + b"x" * 512))
    assert "behind it" in refused(gzipped(tar + tar))


def test_no_gzip_and_no_tar_are_refused() -> None:
    assert "no gzipped tar" in refused(b"")
    assert "no gzipped tar" in refused(tar_of(FILES))
    assert "header" in refused(gzipped(b""))
    assert "damaged" in refused(gzipped(b"x" * 2048))
    assert read_archive(gzipped(bytes(1024)), "b") == {}


def header_of(**fields: Any) -> bytes:
    """A header with fields that tarfile would not write."""
    block = bytearray(member("a.rego", size=0).tobuf(tarfile.GNU_FORMAT))
    for place, value in fields.items():
        start = {"size": 124, "kind": 156}[place]
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_sizes_in_other_forms_are_refused() -> None:
    # In base 256 a size can lie below zero, and lead a reader round in circles.
    below_zero = header_of(size=b"\xff" * 12)
    huge = header_of(size=b"77777777777\0")
    signed = header_of(size=b"-0000000001\0")
    for header in (below_zero, huge, signed):
        refused(gzipped(header + bytes(1024)))


def test_extended_headers_are_bounded_and_may_not_change_a_size() -> None:
    large = header_of(kind=b"x", size=b"%011o\0" % (1 << 20)) + b"1" * (1 << 20)
    assert "extended header" in refused(gzipped(large + bytes(1024)), ArchiveLimits())
    other = tar_with(member("a.rego", size=600, pax_headers={"size": "5"}), content=b"x" * 600)
    refused(gzipped(other))
    alone = header_of(kind=b"x", size=b"%011o\0" % 10) + b"10 path=a\n".ljust(512, b"\0")
    assert "before nothing" in refused(gzipped(alone + bytes(1024)))
    chain = b"".join(
        header_of(kind=b"L", size=b"%011o\0" % 2) + b"a\0".ljust(512, b"\0") for _ in range(3_000)
    )
    assert "stand before" in refused(gzipped(chain + header_of() + bytes(1024)), ArchiveLimits())
    digits = header_of(kind=b"x", size=b"%011o\0" % 512) + b"1" * 512
    assert "100 digits" in refused(gzipped(digits + header_of() + bytes(1024)))


def test_the_walk_over_the_blocks_finds_what_tarfile_finds() -> None:
    tar = tar_of(FILES)
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        expected = [(info.offset_data, info.size, info.isfile()) for info in opened]
    assert list(tar_blocks.members(tar, "b")) == expected


NAMES = st.one_of(
    st.sampled_from(["a.rego", "data.json", "d/data.json", "D/data.json", "../x", "/x", "", "."]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)
KINDS = st.sampled_from(
    [tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE] * 2 + [tarfile.SYMTYPE, tarfile.FIFOTYPE, b"Z"]
)


@given(st.lists(st.tuples(NAMES, KINDS, st.integers(0, 600)), max_size=6))
def test_whatever_members_a_tar_has_it_gives_its_files_or_is_refused(members) -> None:
    infos = [
        member(name, kind, size=size if kind == tarfile.REGTYPE else 0)
        for name, kind, size in members
    ]
    try:
        found = read_archive(gzipped(tar_with(*infos, content=b"y" * 600)), "b", SMALL)
    except PolicyLoadError:
        return
    files = {
        name.removeprefix("./" if name.startswith("./") else "/"): size
        for name, kind, size in members
        if kind == tarfile.REGTYPE
    }
    assert {path: len(content) for path, content in found.items()} == files
    assert all(kind in (tarfile.REGTYPE, tarfile.DIRTYPE) for _, kind, _ in members)
    for path in found:
        assert ".." not in path.split("/")
        assert not path.startswith("/")


@given(st.binary(max_size=3_000), st.integers(0, 2_000), st.booleans())
def test_garbage_in_a_tar_is_refused_and_never_crashes(garbage, at, inside) -> None:
    tar = tar_of(FILES)
    content = (
        gzipped(tar[:at] + garbage + tar[at + (0 if inside else len(garbage)) :])
        if at % 3
        else gzip.compress(garbage)
    )
    with contextlib.suppress(PolicyLoadError):  # anything else fails the test
        read_archive(content, "b", SMALL)


def test_a_directory_gives_its_files_and_refuses_links(tmp_path) -> None:
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert read_directory(tmp_path) == FILES
    (tmp_path / "link.rego").symlink_to("/etc/passwd")
    with pytest.raises(PolicyLoadError, match="a link"):
        read_directory(tmp_path)


def test_a_directory_is_bounded(tmp_path) -> None:
    (tmp_path / "big.txt").write_bytes(b"x" * 5_000)
    with pytest.raises(PolicyLoadError, match="larger"):
        read_directory(tmp_path, SMALL)
