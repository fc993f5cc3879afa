from pydantic import BaseModel

from imgserve.web.api.messages import query_values


class Query(BaseModel):
    q: str = ""
    tag: list[str] = []


def test_a_query_is_read_as_utf8_however_it_is_escaped() -> None:
    mistakes = list[str]()
    read = query_values(Query, "q=gr%C3%BCn+1&tag=grün&tag=%FF".encode(), mistakes)
    assert read == {"q": "grün 1", "tag": ["grün", "\udcff"]}
    assert mistakes == []
