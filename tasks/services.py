"""Projects and tasks."""

from typing import Annotated, Any
from uuid import uuid4

from django.db.models import F
from django.db.models.functions import Now

from accounts import timeline
from accounts.contacts import ContactService
from accounts.services import UserService
from accounts.timeline import TimelineEntry, TimelinePart, TimelineWish
from meetings.services import MeetingService
from mesh import Also, Page, PageParams, Ref, Search, Service, command, job, query
from mesh.errors import Forbidden, NotFound
from tasks.models import Project, Task
from tasks.schemas import (
    ProjectIn,
    ProjectOut,
    ProjectPatch,
    StatusIn,
    TaskFilters,
    TaskIn,
    TaskOut,
    TaskPatch,
)

MOST_REMINDED = 50  # tasks, in one run


class ProjectService(Service):
    """Projects, which hold tasks together."""

    name = "projects"

    @query("GET /projects")
    def list_projects(self, *, search: Search = None, page: PageParams) -> Page[ProjectOut]:
        """List the projects that you own or are a member of, newest first."""
        return self.page(self.rows(Project).search(search), ProjectOut, page)

    @query("GET /projects/{id}")
    def get_project(self, *, id: int) -> ProjectOut:
        """Show one project."""
        return self.one(self.rows(Project), ProjectOut, id)

    @command("POST /projects", creates=Project)
    def create_project(self, *, data: ProjectIn) -> ProjectOut:
        """Start a project; you own it. To whom you assign a task in it, becomes a member."""
        project = Project.objects.create(owner_id=self.actor.id, **data.model_dump())
        self.changed(project)
        return self.show(project, ProjectOut)

    @command("PATCH /projects/{id}", "PUT /projects/{id}")
    def update_project(self, *, id: int, data: ProjectPatch) -> ProjectOut:
        """Change a project that you own; fields that are not sent stay as they are."""
        project = self._own(id)
        for field, value in data.sent().items():
            setattr(project, field, value)
        project.updated_at = Now()
        project.save()
        self.changed(project)
        return self.show(project, ProjectOut)

    @command("DELETE /projects/{id}")
    def delete_project(self, *, id: int) -> None:
        """Remove a project that you own. Its tasks stay, without it."""
        project = self._own(id)
        self.changed(project)
        project.delete()

    @command("DELETE /projects/{id}/members/{user_id}")
    def remove_project_member(self, *, id: int, user_id: int) -> None:
        """Take someone out of a project that you own: they are unassigned from all of its tasks.

        They see the project no more, and of its tasks those alone that they created.
        """
        project = self._own(id)
        tasks = list(project.tasks.filter(assignee_id=user_id).order_by("pk").select_for_update(no_key=True))
        if not tasks or user_id == project.owner_id:
            raise NotFound("They are not in this project.")
        project.tasks.filter(pk__in=[task.pk for task in tasks]).update(
            assignee=None, assigned_by=None, updated_at=Now()
        )
        self.changed(project, *tasks)

    @query(tool=False)
    def known_project(self, *, ref: int) -> int | None:
        """The id of this project, if you see it; else null."""
        return self.known(Project, ref)

    def _own(self, id: int) -> Project:
        project = self.take(Project, id)
        if not project.may_be_changed_by(self.actor):
            raise Forbidden("Only its owner changes a project.")
        return project


class TaskService(Service):
    """Tasks: what is to be done, by whom and by when."""

    name = "tasks"

    @query("GET /tasks")
    def list_tasks(self, *, filters: TaskFilters, search: Search = None, page: PageParams) -> Page[TaskOut]:
        """List the tasks that you created, that are assigned to you or in a project of yours, newest first."""
        wanted = filters.model_dump(exclude={"overdue", "meeting_id", "project_id", "contact_id"}, exclude_none=True)
        if filters.meeting_id is not None:
            wanted["due_meeting_id"] = self.of(MeetingService).known_meeting(ref=filters.meeting_id) or 0
        if filters.project_id is not None:
            wanted["project_id"] = self.of(ProjectService).known_project(ref=filters.project_id) or 0
        if filters.contact_id is not None:
            wanted["contact_id"] = self.of(ContactService).known_contact(ref=filters.contact_id) or 0
        rows = self.rows(Task).filter(**wanted).overdue(filters.overdue).search(search)
        return self.page(rows, TaskOut, page)

    @query("GET /tasks/{id}")
    def get_task(self, *, id: Ref) -> TaskOut:
        """Show one task."""
        return self.one(self.rows(Task), TaskOut, id)

    @command("POST /tasks", creates=Task)
    def create_task(self, *, data: TaskIn) -> TaskOut:
        """Write a task down, for yourself or for someone you know.

        In another's project it can be for yourself, or for someone who is in the project.
        """
        task = Task(creator_id=self.actor.id, **self._referring(data.model_dump()))
        self._give(task, project=None, assignee=None)
        task.save(force_insert=True)
        self.changed(task)
        self._mail_assignee(task, before=None)
        return self.show(task, TaskOut)

    @command("PATCH /tasks/{id}", "PUT /tasks/{id}")
    def update_task(self, *, id: Ref, data: TaskPatch) -> TaskOut:
        """Change a task that you created or that is in a project of yours; of one assigned to you, the status alone."""
        task = self.take(Task, id)
        if not task.may_be_changed_by(self.actor) and data.model_fields_set != {"status"}:
            raise Forbidden("The assignee may change a task's status only.")
        return self._updated(task, data.sent())

    @command("DELETE /tasks/{id}")
    def delete_task(self, *, id: Ref) -> None:
        """Remove a task that you created or that is in a project of yours."""
        task = self._own(id)
        self.changed(task)
        task.delete()

    @command("PATCH /tasks/{id}/status", "POST /tasks/{id}/status/{status}")
    def set_task_status(self, *, id: Ref, status: Annotated[StatusIn, Also("new_status")]) -> TaskOut:
        """Move a task that you see to another status."""
        return self._updated(self.take(Task, id), {"status": status})

    @command("POST /tasks/{id}/assign/{user_id}")
    def assign_task(self, *, id: Ref, user_id: int) -> TaskOut:
        """Give a task that you created or that is in a project of yours to someone you know.

        Of a task in a project, its owner thus makes them a member; others give it to who is in the project.
        """
        task = self._own(id)
        if self.of(UserService).known_user(ref=user_id) is None:
            raise NotFound("There is no such user, or you do not know them.")
        return self._updated(task, {"assignee_id": user_id}, given=True)

    @query(tool=False)
    def tasks_of_contact(self, *, wish: TimelineWish) -> TimelinePart:
        """Your tasks with a contact, for its timeline."""
        return timeline.part(
            wish,
            self.rows(Task).filter(contact_id=wish.contact_id),
            "created_at",
            lambda task: TimelineEntry(
                service=self.name,
                id=task.pk,
                at=task.created_at,
                title=task.title,
                status=task.status,
                details={"uuid": str(task.uuid), "due_date": task.due_date and task.due_date.isoformat()},
            ),
        )

    @job(queue="mail", every=900, lease=60)
    def mail_due_tasks(self) -> None:
        """Mail those whose tasks are due tomorrow, in UTC: the assignee, else the creator, once for each due date."""
        waiting = Task.objects.to_remind_of().select_related("assignee", "creator", "project")
        due = waiting.select_for_update(of=("self",), no_key=True, skip_locked=True)[:MOST_REMINDED]
        for task in due:
            self.mail(
                to=(task.assignee or task.creator).email,
                kind="task_due",
                template="task_due",
                context={"task": task, "project": task.project_title_for(task.assignee or task.creator)},
                key=f"task_due:{task.pk}:{task.due_date}",
            )
        Task.objects.filter(pk__in=[task.pk for task in due]).update(reminded_for=F("due_date"))
        if len(due) == MOST_REMINDED:
            self.defer(self.mail_due_tasks)
        self.changed()

    def _own(self, ref: Ref) -> Task:
        task = self.take(Task, ref)
        if not task.may_be_changed_by(self.actor):
            raise Forbidden(
                "Only who created a task, or owns its project, may do this; its assignee may change its status."
            )
        return task

    def _updated(self, task: Task, fields: dict[str, Any], *, given: bool = False) -> TaskOut:
        """Changes a task. `given`: it is assigned anew, also where that changes nothing."""
        fields |= self._referring({name: value for name, value in fields.items() if value != getattr(task, name)})
        project, assignee = task.project_id, task.assignee_id
        for name, value in fields.items():
            setattr(task, name, value)
        self._give(task, project, None if given and task.may_be_given_by(self.actor) else assignee)
        task.updated_at = Now()
        task.save()
        self.changed(task)
        self._mail_assignee(task, before=assignee)
        return self.show(task, TaskOut)

    def _give(self, task: Task, project: int | None, assignee: int | None) -> None:
        """Writes down who assigned a task, where its assignee is new, or its project by another than its owner.

        `project` and `assignee` are those before. Raises Forbidden where somebody would get into another's project.
        """
        if task.assignee_id is None:
            task.assigned_by_id = None
            return
        may_add, is_new = task.may_be_given_by(self.actor), task.assignee_id != assignee
        if not is_new and (may_add or task.project_id == project):
            return
        task.assigned_by_id = self.actor.id
        if task.project is not None and may_add:
            task.assigned_by_id = task.project.owner_id
        elif task.project is not None and task.assignee_id != self.actor.id and not task.project.has(task.assignee_id):
            raise Forbidden(
                "Only the project's owner adds people to it: give the task to yourself, or to someone who is in it."
            )

    def _mail_assignee(self, task: Task, before: int | None) -> None:
        """Tells a new assignee, unless they gave the task to themselves."""
        if task.assignee is not None and task.assignee_id not in (before, self.actor.id):
            self.mail(
                to=task.assignee.email,
                kind="task_assigned",
                template="task_assigned",
                context={
                    "task": task,
                    "project": task.project_title_for(task.assignee),
                    "who": self.actor.name or self.actor.email,
                },
                key=f"task_assigned:{task.pk}:{uuid4().hex}",
            )

    def _referring(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self.referring(
            fields,
            {
                "due_meeting_id": (self.of(MeetingService).known_meeting, "You see no such meeting."),
                "project_id": (self.of(ProjectService).known_project, "You see no such project."),
                "assignee_id": (self.of(UserService).known_user, "You know no such user."),
                "contact_id": (self.of(ContactService).known_contact, "You have no such contact."),
            },
        )
