"""What the jobs are measured with, on Meshwork's side: a backlog of any kind, and jobs that do next to nothing."""

from collections.abc import Callable, Generator
from typing import Literal

from pydantic import Field

from mesh import In, Service, command, job
from notes.models import Note, NoteStatus
from notes.schemas import RawText
from notes.services import NoteService


class BacklogIn(In):
    """How many jobs of which kind; each has a note of its own with this text."""

    job: Literal["summarize_note", "call_out", "settle_note", "settle_notes"] = Field(
        description="The operation that is measured."
    )
    count: int = Field(ge=1, le=10_000, description="How many notes and jobs to create.")
    raw_text: RawText = Field(description="The text of each note.")


class JobBenchmarkService(Service):
    """Jobs to be measured."""

    name = "job_benchmarks"

    @command("POST /backlog", tool=False, status=202)
    def begin_jobs(self, *, data: BacklogIn) -> None:
        """Create notes, and start a job for each."""
        notes = Note.objects.bulk_create(
            Note(author_id=self.actor.id, raw_text=data.raw_text) for _ in range(data.count)
        )
        for note in notes:
            match data.job:
                case "summarize_note":
                    self.defer(NoteService.summarize_note, id=note.pk, revision=note.revision)
                case "call_out":
                    self.defer(self.call_out, id=note.pk)
                case "settle_note":
                    self.defer(self.settle_note, id=note.pk)
                case "settle_notes":
                    self.defer(self.settle_notes)
        self.changed(*notes)

    @job(queue="notes")
    def call_out(self, *, id: int) -> Generator[Callable[[], NoteStatus], NoteStatus, None]:
        """Load a note, call out for nothing, and write what it brought: two transactions."""
        note = Note.objects.get(pk=id)
        note.status = yield lambda: NoteStatus.DONE
        note.save(update_fields=["status"])
        self.changed(note)

    @job(queue="notes")
    def settle_note(self, *, id: int) -> None:
        """Load a note and change it: one transaction."""
        note = Note.objects.get(pk=id)
        note.status = NoteStatus.DONE
        note.save(update_fields=["status"])
        self.changed(note)

    @job(queue="notes")
    def settle_notes(self) -> None:
        """Change all notes that wait, in one statement."""
        Note.objects.filter(status=NoteStatus.QUEUED).update(status=NoteStatus.DONE)
        self.changed()
