"""The catalog against a plain dictionary: whatever is done, both tell the same."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from imgserve.catalog import Database, ImageQuery, Images, ImageSearch, Selection, Sort
from imgserve.errors import ImageExists, ImageNotFound
from imgserve.model import ImageRecord
from tests.catalogs import ids, put_many, record

NAMES = st.sampled_from(["a", "a/b", "a/c", "a%", "é", "\udcff", "b"])
TAGS = st.lists(st.sampled_from(["red", "Red", "blue shoe", "%"]), max_size=3)
TITLES = st.sampled_from(["", "red car", "Crème", "car"])
QUERIES = st.builds(
    ImageQuery,
    prefix=st.sampled_from(["", "a", "a/", "a%", "\udcff"]),
    text=st.sampled_from(["", "red", "re", "creme", "car red", "shoe", "%"]),
    tags=TAGS.map(tuple),
    min_bytes=st.none() | st.integers(0, 3),
)
SELECTIONS = QUERIES | st.lists(NAMES, max_size=4)
WORDS = {"": [], "red": ["red"], "re": ["re"], "creme": ["creme"], "car red": ["car", "red"], "shoe": ["shoe"]}


def stored(image_id: str) -> bytes:
    return image_id.encode("utf-8", "surrogateescape")


def meant(selection: Selection, one: ImageRecord) -> bool:
    """Return what a selection means, in the plainest words."""
    if not isinstance(selection, ImageQuery):
        return one.image_id in selection
    said = " ".join([one.image_id.replace("/", " "), one.title, *one.tags]).lower().replace("è", "e").split()
    asked = WORDS.get(selection.text)
    return (
        one.image_id.startswith(selection.prefix)
        and set(selection.tags) <= set(one.tags)
        and one.size >= (selection.min_bytes or 0)
        and asked is not None
        and all(any(word.startswith(begun) for word in said) for begun in asked)
    )


class CatalogMachine(RuleBasedStateMachine):
    address: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = Database(self.address)
        self.images, self.search = Images(self.database), ImageSearch(self.database)
        self.model: dict[str, ImageRecord] = {}
        self.second = 0
        self.done(self.images.delete(ImageQuery()))

    def done(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.done(self.database.close())
        self.runner.close()

    def made(self, name: str, title: str, tags: list[str], size: int) -> ImageRecord:
        self.second += 1
        return record(name, self.second, title=title, tags=tuple(tags), size=size)

    @rule(given=st.lists(st.tuples(NAMES, TITLES, TAGS, st.integers(0, 4)), min_size=1, max_size=5))
    def put(self, given: list[tuple[str, str, list[str], int]]) -> None:
        records = {one[0]: self.made(*one) for one in given}
        for name, outcome in self.done(put_many(self.images, records.values())).items():
            old, new = self.model.get(name), records[name]
            wanted = replace(new, created=old.created) if old else new
            same = old is not None and replace(old, changed=new.changed) == wanted
            assert outcome == ("unchanged" if same else "changed" if old else "added")
            self.model[name] = self.model[name] if same else wanted

    @rule(name=NAMES, title=TITLES)
    def change(self, name: str, title: str) -> None:
        moment = self.made(name, "", [], 0).changed
        try:
            now = self.done(self.images.change(name, {"title": title}, at=moment))
        except ImageNotFound:
            assert name not in self.model
        else:
            if self.model[name].title != title:
                self.model[name] = replace(self.model[name], title=title, changed=moment)
            assert now == self.model[name]

    @rule(name=NAMES, other=NAMES)
    def rename(self, name: str, other: str) -> None:
        moment = self.made(name, "", [], 0).changed
        try:
            self.done(self.images.change(name, {"image_id": other}, at=moment))
        except ImageNotFound:
            assert name not in self.model
        except ImageExists:
            assert other in self.model
        else:
            if name != other:
                self.model[other] = replace(self.model.pop(name), image_id=other, changed=moment)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        assert self.done(self.images.delete([name])) == ([name] if self.model.pop(name, None) is not None else [])

    @rule(selection=SELECTIONS)
    def delete_many(self, selection: Selection) -> None:
        gone = [name for name, one in self.model.items() if meant(selection, one)]
        assert set(self.done(self.images.delete(selection))) == set(gone)
        for name in gone:
            del self.model[name]

    @rule(selection=SELECTIONS, tags=TAGS)
    def tag(self, selection: Selection, tags: list[str]) -> None:
        self.retag(selection, {"add": tags}, lambda had: had | set(tags))

    @rule(selection=SELECTIONS, tags=TAGS)
    def untag(self, selection: Selection, tags: list[str]) -> None:
        self.retag(selection, {"remove": tags}, lambda had: had - set(tags))

    def retag(self, selection: Selection, tags: dict[str, list[str]], change: Callable[[set[str]], set[str]]) -> None:
        moment = self.made("x", "", [], 0).changed
        hit = [one for one in self.model.values() if meant(selection, one) and change(set(one.tags)) != set(one.tags)]
        assert self.done(self.images.retag(selection, **tags, at=moment)) == len(hit)
        for one in hit:
            self.model[one.image_id] = replace(one, tags=tuple(change(set(one.tags))), changed=moment)

    @rule(query=QUERIES, sort=st.sampled_from(Sort), descending=st.booleans(), limit=st.integers(1, 4))
    def list_all(self, query: ImageQuery, sort: Sort, descending: bool, limit: int) -> None:
        keys: dict[Sort, Callable[[ImageRecord], Any]] = {
            Sort.CREATED: lambda one: one.created, Sort.CHANGED: lambda one: one.changed,
            Sort.BYTES: lambda one: one.size, Sort.ID: lambda _: 0, Sort.PIXELS: lambda _: 0,
        }  # fmt: skip
        key = keys[sort]
        wanted = [one for one in self.model.values() if meant(query, one)]
        wanted.sort(key=lambda one: (key(one), stored(one.image_id)), reverse=descending)
        assert self.walk(query, sort=sort, descending=descending, limit=limit) == wanted

    def walk(self, query: ImageQuery, **order: Any) -> list[ImageRecord]:
        page = self.done(self.search.page(query, **order))
        records = list(page.items)
        while page.cursor:
            page = self.done(self.search.page(query, cursor=page.cursor, **order))
            records += page.items
        return records

    @invariant()
    def both_know_the_same(self) -> None:
        page = self.done(self.search.page(sort=Sort.ID, descending=False))
        assert ids(page.items) == sorted(self.model, key=stored)
        assert {one.image_id: one for one in page.items} == self.model
        counts = self.done(self.search.tag_counts())
        assert counts == {tag: n for tag in counts if (n := sum(tag in one.tags for one in self.model.values()))}


def test_the_catalog_is_a_dictionary_of_records(address: str) -> None:
    few = settings(settings.get_profile("imgserve"), max_examples=25, stateful_step_count=25)
    machine = type("Machine", (CatalogMachine,), {"address": address})
    run_state_machine_as_test(machine, settings=few)
