"""Documents made for tests, bit by bit: good ones, and ones that harm."""

import io
import zipfile
import zlib

import docx


def pdf(pages, *, title=None, extra=b"", trailer=b"", filters=b""):
    """A PDF whose pages show these texts; `filters` compresses as it says."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for text in pages:
        lines = b"".join(
            b"(%s) Tj T* " % line.encode("latin-1") for line in text.split("\n") if line
        )
        content = b"BT /F1 11 Tf 14 TL 40 800 Td %s ET" % lines if text else b""
        data = zlib.compress(content, 9) if filters else content
        objects.append(b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), filters, data))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica"
            b" /Encoding /WinAnsiEncoding >> >> >> >>" % (len(objects))
        )
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    if title:
        objects.append(b"<< /Title (%s) >>" % title.encode("latin-1"))
        trailer += b" /Info %d 0 R" % len(objects)
    if extra:
        objects.append(extra)
        trailer += b" /Encrypt %d 0 R" % len(objects)
    return _assembled(objects, trailer)


def _assembled(objects, trailer):
    out = bytearray(b"%PDF-1.5\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def encrypted_pdf():
    """One that asks for a password: what should check it is no password's."""
    owner = b"<" + b"ab" * 32 + b">"
    return pdf(
        ["secret"],
        extra=b"<< /Filter /Standard /V 1 /R 2 /P -4 /O %s /U %s >>" % (owner, owner),
        trailer=b" /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>]",
    )


def pdf_bomb(layers=3, size=1 << 28):
    """A page that unpacks to a thousand times its size, as often as there are layers."""
    data = b" " * size
    for _ in range(layers):
        data = zlib.compress(data, 9)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        b"<< /Length %d /Filter [%s] >>\nstream\n%s\nendstream"
        % (len(data), b" ".join([b"/FlateDecode"] * layers), data),
    ]
    return _assembled(objects, b"")


def docx_file(fill):
    """A DOCX; `fill` writes into the python-docx document."""
    document = docx.Document()
    fill(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def docx_bomb(size=300 << 20):
    """A DOCX whose text unpacks to `size` bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        with packed.open("word/document.xml", "w", force_zip64=True) as part:
            for _ in range(size >> 20):
                part.write(b" " * (1 << 20))
    return out.getvalue()
