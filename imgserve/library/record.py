"""Write inspected images to the catalog."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from imgserve.catalog import Merge, Notice
from imgserve.errors import ImageExists, ImageNotFound
from imgserve.library.inspect import Finding, Looking, Trouble, decide
from imgserve.library.means import Means
from imgserve.library.results import Recorded, Recording
from imgserve.model import ImageRecord, focused_version


class Committing:
    """Writes records and problems. Whoever calls it holds the locks of their ids."""

    def __init__(self, means: Means, looking: Looking) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking

    async def commit(self, found: Sequence[Finding | Trouble]) -> dict[str, Recorded]:
        """Record images and problems; tells what became of each.

        Raises:
            CatalogUnavailable: some or nothing was recorded; the next scan goes on.
        """
        findings = {one.image_id: one for one in found if isinstance(one, Finding)}
        troubles = [one for one in found if isinstance(one, Trouble)]
        renamed = await self._rename(findings)
        recorded = renamed | await self._record([one for one in findings.values() if one.image_id not in renamed])
        return recorded | await self._report(troubles)

    async def forget(self, ids: Sequence[str], *, certain: bool = False) -> list[str]:
        """Forget images whose files are gone, and problems; tell which were known.

        Others are told of what was known, or of all where it is certain that there were images.
        """
        catalog, telling = self._means.catalog, self._means.telling
        if not ids:
            return []
        records = await catalog.images.versions_of(ids)
        problems = await catalog.problems.get_many(ids)
        await telling.purge(ids)
        if problems:
            await catalog.problems.forget(list(problems))
        if records:
            await catalog.sets.delete(list(records))
        known = sorted({*records, *problems})
        await telling.publish([Notice("changed", image_id) for image_id in (ids if certain else known)])
        await telling.purged(ids if certain else sorted(records))
        return known

    async def _record(self, findings: Sequence[Finding]) -> dict[str, Recorded]:
        if not findings:
            return {}
        catalog, telling = self._means.catalog, self._means.telling
        replaced = [one.image_id for one in findings if one.known is not None]
        await telling.purge(replaced)
        problems = await catalog.problems.get_many([one.image_id for one in findings])
        # Before the record, which would make the file one that is known.
        await catalog.problems.forget(list(problems))
        merged = await catalog.images.merge_many({one.image_id: self._merge(one) for one in findings})
        records = {image_id: one.record for image_id, one in merged.items() if one.record is not None}
        telling.recheck(records)
        await telling.publish([Notice("changed", image_id) for image_id in records])
        await telling.purged(replaced)
        await telling.recorded(
            one.original.focused(records[one.image_id].focal_point) for one in findings if one.image_id in records
        )
        return {one.image_id: _recorded(one, records[one.image_id]) for one in findings if one.image_id in records}

    def _merge(self, finding: Finding) -> Merge:
        now = self._means.rules.clock()
        return lambda before: decide(finding, before, now)

    async def _report(self, troubles: Sequence[Trouble]) -> dict[str, Recorded]:
        """Add problems; a record that there was goes after that, so that the list of images tells what is served."""
        if not troubles:
            return {}
        catalog, telling = self._means.catalog, self._means.telling
        known = [one.asked.image_id for one in troubles if one.asked.known is not None]
        await telling.purge(known)
        await catalog.problems.put_many([one.problem for one in troubles])
        if known:
            await catalog.sets.delete(known)
        await telling.publish([Notice("changed", image_id) for image_id in known])
        await telling.purged(known)
        return {
            one.problem.image_id: Recorded(one.problem.image_id, Recording.PROBLEM, problem=one.problem)
            for one in troubles
        }

    async def _rename(self, findings: dict[str, Finding]) -> dict[str, Recorded]:
        """Have records follow their files to new ids."""
        new = {one.facts.sha256 for one in findings.values() if one.known is None and one.details is None}
        if not new:
            return {}
        candidates = [one for one in await self._means.catalog.search.by_sha256_of(new) if one.image_id not in findings]
        done = dict[str, Recorded]()
        if candidates:
            gone = await self._looking.are_gone([one.image_id for one in candidates])
            for old in (one for one, is_gone in zip(candidates, gone, strict=True) if is_gone):
                new_ids = (one for one in findings.values() if _follows(one, old) and one.image_id not in done)
                finding = next(new_ids, None)
                if finding is not None and (record := await self._follow(finding, old)) is not None:
                    done[finding.image_id] = record
        return done

    async def _follow(self, finding: Finding, old: ImageRecord) -> Recorded | None:
        """Give a record the id that its file has now; None where somebody else is at it, or its file is back."""
        means = self._means
        async with AsyncExitStack() as stack:
            free = await stack.enter_async_context(means.locks.hold_if_free(old.image_id))
            if not free or await self._looking.is_there(old.image_id):
                return None
            await means.telling.purge([old.image_id])
            await means.catalog.problems.forget([finding.image_id])
            version = focused_version(finding.original.file_version, old.focal_point)
            fields = {"image_id": finding.image_id, "version": version}
            try:
                record = await means.catalog.images.change(old.image_id, fields, at=means.rules.clock())
            except (ImageNotFound, ImageExists):
                return None
        await means.telling.publish([Notice("changed", one) for one in (old.image_id, finding.image_id)])
        await means.telling.purged([old.image_id])
        await means.telling.recorded([finding.original.focused(record.focal_point)])
        return Recorded(finding.image_id, Recording.RENAMED, record, renamed_from=old.image_id)


def _follows(finding: Finding, old: ImageRecord) -> bool:
    return finding.known is None and finding.details is None and finding.facts.sha256 == old.sha256


def _recorded(finding: Finding, record: ImageRecord) -> Recorded:
    outcome = Recording.CREATED if finding.known is None else Recording.REPLACED
    return Recorded(finding.image_id, outcome, record)
