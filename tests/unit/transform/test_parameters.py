"""Every parameter: what it reads, what it refuses, how it is written."""

import pytest

from imgserve.errors import BadTransform
from imgserve.transform import PARAMETERS, Parameter, canonical, parse_query
from imgserve.transform.merge import ATTRIBUTES
from imgserve.transform.parameters import GROUPS
from tests.docs import parameters_table


def mistakes(query: str, *, strict: bool = False) -> list[str]:
    with pytest.raises(BadTransform) as caught:
        parse_query(query, strict=strict)
    listed = caught.value.members["mistakes"]
    assert isinstance(listed, list)
    return listed


GOOD = [
    ("w=400", "width=400"),
    ("height=0.5", "height=0.5"),
    ("h=.5", "height=0.5"),
    ("w=1", "width=1"),
    ("q=auto", "quality=auto"),
    ("maxsize=200KB", "max-bytes=200000"),
    ("s=1.5mib", "max-bytes=1572864"),
    ("s=1000&s=" + "0a" * 16, "max-bytes=1000"),
    ("w=1.0", "width=1.0"),
    ("w=0.123456789", "width=0.123457"),
    ("ar=16:9", "aspect=16:9"),
    ("ar=32:18", "aspect=16:9"),
    ("ar=1.91:1", "aspect=191:100"),
    ("ar=1000:1", "aspect=1000:1"),
    ("fit=CLIP", "fit=clip"),
    ("fit=inside", "fit=max"),
    ("fit=cover", "fit=crop"),
    ("fit=contain", "fit=fill"),
    ("fit=pad", "fit=fill"),
    ("fit=stretch", "fit=scale"),
    ("f=fillmax", "fit=fillmax"),
    ("f=webp", "format=webp"),
    ("enlarge=1", "enlarge=1"),
    ("enlarge", "enlarge=1"),
    ("enlarge=true", "enlarge=1"),
    ("enlarge=0", ""),
    ("crop=top,LEFT", "crop=top,left"),
    ("crop=top,top", "crop=top"),
    ("crop=faces,entropy", "crop=faces,entropy"),
    ("fp-x=0&fp-y=1.0&fp-z=2.50", "focus-x=0&focus-y=1&focus-zoom=2.5"),
    ("rect=10,0.0,0.5,200", "rect=10,0,0.5,200"),
    ("rect=0,0,1.0,1", "rect=0,0,1.0,1"),
    ("orient=0", "orient=1"),
    ("orient=270", "orient=270"),
    ("rot=90", "rotate=90"),
    ("rotate=0.5", "rotate=0.5"),
    ("rotate=359.999", "rotate=359.999"),
    ("flip=VH", "flip=hv"),
    ("fm=jpeg", "format=jpg"),
    ("fm=tif", "format=tiff"),
    ("fm=pjpg", "format=jpg&progressive=1"),
    ("fm=pjpg&progressive=0", "format=jpg"),
    ("fm=png8", "colors=256&format=png"),
    ("fm=png8&colors=16", "colors=16&format=png"),
    ("fm=auto", "auto=format"),
    ("fm=auto&auto=compress", "auto=compress,format"),
    ("auto=format&auto=compress", "auto=compress,format"),
    ("auto=format,compress", "auto=compress,format"),
    ("auto=format&fm=png", "auto=format&format=png"),
    ("q=75", "quality=75"),
    ("q=200&fm=gif", "colors=200&format=gif"),
    ("q=200&fm=gif&colors=16", "colors=16&format=gif"),
    ("q=200", "quality=200"),
    ("lossless=1", "lossless=1"),
    ("jpg-progressive=1", "progressive=1"),
    ("chromasub=444", "chroma=444"),
    ("chroma=422", "chroma=444"),
    ("chroma=420", ""),
    ("colorquant=2", "colors=2"),
    ("bg=RebeccaPurple", "background=663399"),
    ("bg=transparent", "background=00000000"),
    ("bg=f80", "background=ff8800"),
    ("bg=%23f80", "background=ff8800"),
    ("bg=8f80", "background=88ff8800"),
    ("bg=80FF8800", "background=80ff8800"),
    ("bg=ffff8800", "background=ff8800"),
    ("fill=blur", "fill=blur"),
    ("fill-color=navy", "fill-color=000080"),
    ("page=2", "page=2"),
    ("page=1", ""),
    ("frame=1", "frame=1"),
    ("hue=360", ""),
    ("hue=359.5", "hue=359.5"),
    ("animate=0", "animate=0"),
    ("cs=origin", "profile=origin"),
    ("metadata=Keep", "metadata=keep"),
    ("hdr=Tonemap", "hdr=tonemap"),
    ("download=shoe.jpg", ""),
    ("w64=NDAw", "width=400"),
    ("fit64=Y3JvcA", "fit=crop"),
    ("f64=d2VicA", "format=webp"),
    ("bg64=I2Y4MA==", "background=ff8800"),
    ("W=400&FIT=Crop", "fit=crop&width=400"),
    ("w%69dth=4%300", "width=400"),
    ("w=400&width=400", "width=400"),
    ("bg=fff&background=white", "background=ffffff"),
    ("&&w=400&", "width=400"),
    ("", ""),
]

BAD = [
    ("w=abc", 'width: expected an integer 1..8192 or a fraction 0 < x <= 1, but received "abc"'),
    ("w=", "width: expected an integer 1..8192 or a fraction 0 < x <= 1, but received nothing"),
    ("w", "width: expected an integer 1..8192 or a fraction 0 < x <= 1, but received nothing"),
    ("h=0", 'height: expected an integer 1..8192 or a fraction 0 < x <= 1, but received "0"'),
    ("h=-5", 'height: expected an integer 1..8192 or a fraction 0 < x <= 1, but received "-5"'),
    ("w=0.0", '"0.0"'),
    ("w=400.0", '"400.0"'),
    ("w=400.5", '"400.5"'),
    ("w=1e3", '"1e3"'),
    ("w=+400", '" 400"'),
    ("w=%D9%A4", "width"),
    ("w=" + "9" * 31, "width"),
    ("w=%ff", 'but received "\\xff", which is not UTF-8'),
    ("w64=!!", "which is not URL-safe base64"),
    ("w64=N", "which is not URL-safe base64"),
    ("w64=_w", "which is not UTF-8"),
    ("ar=16/9", "aspect: expected a ratio W:H between 1:1000 and 1000:1"),
    ("ar=0:9", "aspect"),
    ("ar=1001:1", "aspect"),
    ("ar=9:0.0", "aspect"),
    ("fit=corp", 'but received "corp", did you mean "crop"?'),
    ("fit=webp", "fit: expected one of clip"),
    ("f=jpgg", "f: expected one of clip, max, crop, min, fill, fillmax, scale, clamp or one of auto, pjpg"),
    ("f=jpgg", 'did you mean "jpg"?'),
    ("enlarge=2", "enlarge: expected 0 or 1"),
    ("crop=top,,left", "crop"),
    ("crop=tpo", 'did you mean "top"?'),
    ("fp-x=1.1", "focus-x: expected a number 0..1"),
    ("fp-z=0.5", "focus-zoom: expected a number 1..100"),
    ("rect=1,2,3", "rect"),
    ("rect=1,2,3,4,5", "rect"),
    ("rect=1,2,0,4", "rect"),
    ("rect=1.0,2,3,4", "rect"),
    ("rect=1,2,1.5,4", "rect"),
    ("rect=-1,2,3,4", "rect"),
    ("dpr=0&w=1", "dpr: expected a number 0 < x <= 5"),
    ("dpr=-1", "dpr"),
    ("orient=9", "orient: expected one of 0, 1, 2"),
    ("rotate=360", "rotate"),
    ("flip=x", "flip: expected one of h, v, hv"),
    ("fm=bmp", "format: expected one of auto"),
    ("fm=json", "format: expected a picture, but json is a document about one"),
    ("f=blurhash", "format: expected a picture, but blurhash is a document about one"),
    ("palette=css", "format: expected a picture, but palette=css is a document about one"),
    ("explain", "format: expected a picture, but explain is a document about one"),
    ("prefix=1", "prefix: expected a name of at most 40 letters"),
    ("palette=x", "palette: expected one of css, json"),
    ("auto=redeye", "auto: expected a comma list of format, best, compress, enhance"),
    ("sat=101", "saturation: expected a number -100..100"),
    ("sat=--1", "saturation"),
    ("sat=1e1", "saturation"),
    ("hue=361", "hue: expected a number 0..360"),
    ("blur=-1", "blur: expected a number 0..2000"),
    ("px=101", "pixelate: expected an integer 0..100"),
    ("duotone=red", "duotone: expected two colors with a comma between them"),
    ("duotone=red,blu", 'did you mean "blue"?'),
    ("q=0", "quality"),
    ("q=257", "quality"),
    ("q=automatic", "quality: expected an integer 1..100, or auto"),
    ("max-bytes=0", "max-bytes: expected an integer of bytes, or a size such as 200KB"),
    ("maxsize=-1", "max-bytes"),
    ("q=101&fm=webp", 'quality: expected an integer 1..100 for webp, but received "101"'),
    ("chroma=411", "chroma"),
    ("colors=1", "colors: expected an integer 2..256"),
    ("bg=bleu", 'did you mean "blue"?'),
    ("bg=12345", "background: expected a CSS color name, RGB, RRGGBB, ARGB or AARRGGBB"),
    ("bg=%23%23fff", "background"),
    ("fill=blurr", 'fill: expected one of solid, blur, but received "blurr", did you mean "blur"?'),
    ("fill-color=", "fill-color"),
    ("page=0", "page: expected an integer 1..100000"),
    ("frame=x", "frame"),
    ("profile=cmyk", "profile"),
    ("metadata=all", "metadata"),
    ("hdr=1", "hdr"),
    ("preset=", "preset: expected the name of a preset, but received nothing"),
    ("preset=none", 'preset: there is none called "none"'),
    ("download=a/b", "download"),
    ("download=a%00b", 'but received "a\\x00b"'),
    ("w=1&w=2", "width: given twice with different values"),
    ("w=1&width=1.0", "width: given twice with different values"),
    ("fm=auto&f=jpg", "format: given twice with different values"),
]


@pytest.mark.parametrize(("query", "text"), GOOD)
def test_a_good_value_is_read_and_written_in_one_way(query: str, text: str) -> None:
    assert canonical(parse_query(query).transform) == text
    assert canonical(parse_query(query.encode(), strict=True).transform) == text
    assert parse_query(text).transform == parse_query(query).transform


@pytest.mark.parametrize(("query", "sentence"), BAD)
def test_a_mistake_says_what_was_expected(query: str, sentence: str) -> None:
    [told] = mistakes(query)
    assert sentence in told


def test_every_mistake_is_reported_at_once() -> None:
    told = mistakes("w=abc&fit=corp&q=300&unknown=1&bg=f", strict=True)
    assert [sentence.split(":")[0] for sentence in told] == [
        "width",
        "fit",
        "quality",
        'unknown parameter "unknown"',
        "background",
    ]


def test_a_long_or_unprintable_value_is_shortened_and_escaped() -> None:
    [told] = mistakes("fit=" + "%0a" * 90 + "x" * 500)
    assert len(told) < 160
    assert told.isprintable()


def test_an_expectation_names_the_cap_of_the_server() -> None:
    with pytest.raises(BadTransform, match=r"1\.\.2000 or"):
        parse_query("w=x", max_side=2000)


def test_each_attribute_of_a_transform_has_one_row() -> None:
    rows = [row.attribute for row in PARAMETERS]
    assert sorted(rows) == sorted({*ATTRIBUTES, "preset", "download", "palette", "prefix", "explain"})


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_the_example_of_each_row_is_understood(row: Parameter) -> None:
    assert row.example
    if row.name != "preset":
        parse_query(f"{row.name}={row.example}", strict=True, documents=True)


def test_the_documentation_table_has_a_line_for_each_row() -> None:
    lines = parameters_table().splitlines()
    assert len(lines) == len(GROUPS) + len(PARAMETERS) + 2
    assert lines[3].startswith("| `width` | `w` | an integer 1..8192 or a fraction 0 < x <= 1 | proportional |")
    assert {line.count("|") for line in lines} == {6}
