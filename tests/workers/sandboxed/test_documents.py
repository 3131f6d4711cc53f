import io
import re
import zipfile

import made_documents as made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused
from workers.sandbox import MIB, Bounds, Sandbox
from workers.sandboxed import documents, landmarks, web
from workers.sandboxed.kinds import may_be_text
from workers.sandboxed.parsed import TextBound

PARAGRAPH = "<p>The mill race turns seven wheels, and every wheel takes the water it can use.</p>"
ARTICLE = (
    "<!doctype html><html><head><title>The  mill\nrace</title><style>p{color:red}</style></head>"
    f"<body><nav>Home | About | Imprint</nav><article><h1>Wheels</h1>{PARAGRAPH * 5}"
    "<table><tr><td>wheel</td><td>seven</td></tr></table></article>"
    "<script>let hidden = 1;</script><footer>Imprint</footer></body></html>"
)


GERMAN = "Wasserräder für Mühlen und Bäche; " * 9 + "Ende"
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. " * 9 + "konec"
RUSSIAN = "Широкая река течёт мимо старой мельницы. " * 9 + "конец"


@pytest.fixture
def read(tmp_path):
    def read(data, **request):
        path = tmp_path / "document"
        path.write_bytes(data)
        return documents.read(request, {"document": path}, tmp_path)

    return read


@pytest.fixture
def refused(read):
    def refused(data, **request):
        with pytest.raises(Refused) as caught:
            read(data, **request)
        return caught.value

    return refused


@pytest.mark.parametrize(
    ("data", "request_", "type_", "text"),
    [
        ("plain Größe €".encode(), {}, "text", "plain Größe €"),
        ("mark Größe €".encode("utf-8-sig"), {}, "text", "mark Größe €"),
        ("wide Größe €".encode("utf-16"), {}, "text", "wide Größe €"),
        (("wide, no mark. " * 9).encode("utf-16-le"), {}, "text", ("wide, no mark. " * 9).strip()),
        (("wide, no mark. " * 9).encode("utf-16-be"), {}, "text", ("wide, no mark. " * 9).strip()),
        ("широкая река".encode("koi8-r"), {"charset": "koi8-r"}, "text", "широкая река"),
        ("déjà vu".encode("latin-1"), {"charset": "no-such-charset"}, "text", "déjà vu"),
        (GERMAN.encode("latin-1"), {}, "text", GERMAN),
        (CZECH.encode("cp1250"), {}, "text", CZECH),
        (RUSSIAN.encode("cp1251"), {}, "text", RUSSIAN),
        (b"# Head\r\n\r\n\r\n\r\nline", {"name": "a.md"}, "markdown", "# Head\n\nline"),
        (b"# Head", {"content_type": "text/markdown"}, "markdown", "# Head"),
        (b"1 < 2 and a > b", {"name": "a.html"}, "text", "1 < 2 and a > b"),
        (b"<p>a bit</p>", {"name": "a.htm"}, "html", "a bit"),
        (b"<p>a bit</p>", {}, "text", "<p>a bit</p>"),
        (
            '<html><meta charset="iso-8859-2"><body>Łódź</body>'.encode("iso-8859-2"),
            {},
            "html",
            "Łódź",
        ),
    ],
)
def test_text_is_told_by_what_it_holds_and_decoded(read, data, request_, type_, text):
    found = read(data, **request_)
    assert (found["type"], found["text"]) == (type_, text)


def test_a_page_gives_its_main_content_and_its_title(read):
    found = read(ARTICLE.encode(), name="page.txt")
    assert found["type"] == "html"
    assert found["title"] == "The mill race"
    assert found["text"].startswith("# Wheels")
    assert found["text"].count("seven wheels") >= 1
    assert "wheel" in found["text"].splitlines()[-1]
    assert not any(word in found["text"] for word in ("Imprint", "hidden", "color"))


def test_a_page_without_main_content_gives_all_that_is_shown(monkeypatch):
    monkeypatch.setattr(web, "_main", lambda _page: "")
    found = web.parsed(ARTICLE)
    assert "Home | About | Imprint" in found.text
    assert "Wheels\nThe mill race" in found.text
    assert not any(word in found.text for word in ("hidden", "color"))


NAV = "<nav><a>Home</a></nav>"
MENU = "<ul>" + "<li><a href=x>Entry</a></li>" * 8 + "</ul>"
TOLD = "The mill race turns seven wheels, and every wheel takes the water it can use."
ITEMS = "<ul><li>one\n<b>more</b>!<!--c--> yes<li>two</ul><script>x</script>"
ASIDES = f"<header>Banner</header>{NAV}{MENU}<aside>Advert</aside><footer>Imprint</footer>"


@pytest.mark.parametrize(
    ("body", "text", "taken"),
    [
        (
            f"{ASIDES}<div role=main>{NAV}<h2>Wheels</h2>{PARAGRAPH}</div>",
            f"## Wheels\n\n{TOLD}",
            "its main part",
        ),
        (
            f"{ASIDES}<article><header><h1>One</h1></header>{PARAGRAPH}</article><p>x<article>"
            + PARAGRAPH,
            f"# One\n\n{TOLD}\n\n{TOLD}",
            "its articles",
        ),
        (
            f"{ASIDES}<main>teaser</main><div>{PARAGRAPH}{ITEMS}</div>{PARAGRAPH * 2}",
            f"teaser\n\n{TOLD}\n\n- one more! yes\n- two\n\n{TOLD}\n\n{TOLD}",
            "all but its navigation, header and footer",
        ),
        (
            f"<nav>{PARAGRAPH * 30}</nav><p>little</p>",
            "\n".join([TOLD] * 30 + ["little"]),
            "all it shows, navigation included",
        ),
    ],
)
def test_of_a_very_long_page_the_main_part_is_found_by_its_landmarks(
    monkeypatch, body, text, taken
):
    monkeypatch.setattr(web, "MOST_SEARCHED_CHARS", 100)
    page = f"<html><head><title>T</title></head><body>{body}</body></html>"
    found = web.parsed(page)
    assert found.text == text
    assert found.warning == f"the page has {len(page)} characters: {taken} was read"


@given(st.text("\v\n \ta", max_size=30))
def test_a_line_that_ends_twice_ends_once(text):
    ends_once = re.sub(r"\v(?=[ \t\v]*\n)", "", text).replace("\v", "\n").split("\n")
    assert [line.split() for line in landmarks.lines_of(text)] == [
        line.split() for line in ends_once
    ]


def test_ends_of_lines_far_apart_take_no_longer_than_the_page_is_long():
    ends = ("\v" + " " * 40_000) * 250  # minutes, where each end looks for the next line anew
    assert sum(line != "" for line in map(str.strip, landmarks.lines_of(ends + "x\n"))) == 1


def test_a_page_of_absurdly_many_tags_is_read_whole_and_that_is_said(monkeypatch):
    monkeypatch.setattr(web, "MOST_SEARCHED_CHARS", 100)
    monkeypatch.setattr(web, "MOST_TAGS", ARTICLE.count("<") - 1)
    found = web.parsed(ARTICLE)
    assert "Imprint" in found.text
    assert "navigation included" in found.warning


def test_a_short_page_has_no_warning():
    assert web.parsed(ARTICLE).warning is None


def test_a_pdf_gives_its_pages_and_title(read):
    found = read(made.pdf(["First page\nof two", "The last"], title="The Race"), name="a.txt")
    assert found == {
        "type": "pdf",
        "text": "First page\nof two\n\nThe last",
        "title": "The Race",
        "pages": 2,
        "warning": None,
    }


def test_a_docx_gives_headings_lists_and_tables_in_order(read):
    def fill(document):
        document.core_properties.title = "The Race"
        document.add_heading("The Mill", 0)
        document.add_heading("Wheels", 2)
        document.add_paragraph("Seven of them.")
        table = document.add_table(2, 2)
        table.cell(0, 0).text, table.cell(0, 1).text = "wheel", "turns"
        table.cell(1, 0).merge(table.cell(1, 1)).text = "none"
        document.add_paragraph("water", style="List Bullet")
        document.add_paragraph("")

    found = read(made.docx_file(fill))
    assert found["type"] == "docx"
    assert found["title"] == "The Race"
    assert found["text"] == (
        "# The Mill\n\n## Wheels\n\nSeven of them.\n\nwheel | turns\nnone\n\n- water"
    )


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            packed.writestr(name, "x")
    return out.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "no_text", "no text"),
        (b" \r\n\t", "no_text", "no text"),
        (b"<html><body><script>x</script></body></html>", "no_text", "no text"),
        (made.pdf(["", ""]), "no_text", "scanned"),
        (made.encrypted_pdf(), "encrypted", "password"),
        (b"%PDF-1.7\nnothing more", "unreadable", "PDF cannot be read"),
        (made.docx_file(lambda _document: None), "no_text", "no text"),
        (zipped("word/document.xml"), "unreadable", "DOCX cannot be read"),
        (b"PK\x03\x04" + bytes(90), "unreadable", "damaged zip"),
        (zipped("xl/workbook.xml"), "unsupported_document", "Excel"),
        (zipped("ppt/presentation.xml"), "unsupported_document", "PowerPoint"),
        (zipped("a.txt"), "unsupported_document", "zip archive"),
        (OLE + "WordDocument".encode("utf-16-le"), "unsupported_document", "old Word"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "unsupported_document", "password"),
        (b"{\\rtf1 hello}", "unsupported_document", "rich text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(90), "unsupported_document", "PNG"),
        (b"MZ\x90\0" + bytes(90), "unsupported_document", "program"),
        (b"\0\0\0\x20ftypisom" + bytes(90), "unsupported_document", "film"),
        (bytes(range(256)) * 9, "unsupported_document", "binary"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_it_is(refused, data, code, words):
    problem = refused(data, name="report.txt")
    assert problem.code == code
    assert words in problem.message


def test_more_text_than_one_document_may_hold_is_refused():
    bound = TextBound(10)
    bound.add("12345")
    bound.add("67890")
    with pytest.raises(Refused, match="more text than the 10 characters"):
        bound.add("1")


async def in_a_child(data, bounds):
    with pytest.raises(Refused) as caught:
        await Sandbox().run("documents:read", {}, files={"document": data}, bounds=bounds)
    return caught.value


async def test_a_docx_bomb_is_refused_before_it_is_unpacked():
    problem = await in_a_child(made.docx_bomb(), Bounds(memory_bytes=512 * MIB))
    assert problem.code == "too_large"
    assert "unpacks to 314572808 bytes" in problem.message


async def test_a_pdf_bomb_is_an_error_and_no_lost_worker():
    problem = await in_a_child(made.pdf_bomb(), Bounds(memory_bytes=192 * MIB))
    assert problem.code in ("parser_crashed", "memory_bound", "no_text")
    found = await Sandbox().run("documents:read", {}, files={"document": b"the next one"})
    assert found["text"] == "the next one"


@pytest.mark.parametrize("form", ['a{}="x"', "a{}", 'a{}="x"\n'])
def test_a_tag_of_absurdly_many_attributes_is_read_without_them(form, monkeypatch):
    many = " ".join(form.format(n) for n in range(web.MOST_ATTRIBUTES + 1))
    page = f'<html><body><p {many}>words</p><p class="one">more</p></body></html>'
    assert web.trimmed(page) == '<html><body><p>words</p><p class="one">more</p></body></html>'
    read, tree_of = [], web._tree
    monkeypatch.setattr(web, "_tree", lambda page: read.append(page) or tree_of(page))
    assert web.parsed(page).text.split() == ["words", "more"]
    assert read == [web.trimmed(page)]


def test_a_tag_of_few_long_attributes_stays_as_it_is():
    page = f'<p><img src="data:image/png;base64,{"A" * 90_000}==" alt="x">words</p>'
    assert web.trimmed(page) == page


@pytest.mark.parametrize(
    ("head", "text"),
    [(b"<html>", True), (b"", True), (b"\n%PDF-1.7", False), (b"PK\x03\x04", False)],
)
def test_what_may_be_text_is_known_by_how_it_begins(head, text):
    assert may_be_text(head) is text
