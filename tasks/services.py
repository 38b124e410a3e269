"""Projects and tasks."""

from typing import Any
from uuid import uuid4

from django.db.models import F
from django.db.models.functions import Now

from accounts import timeline
from accounts.contacts import ContactService
from accounts.services import UserService
from accounts.timeline import TimelineEntries, TimelineEntry, TimelineQuery
from meetings.services import MeetingService
from mesh import Page, PageParams, Search, Service, command, job, query
from mesh.errors import Forbidden, NotFound
from tasks.models import Project, Task
from tasks.schemas import (
    AssigneeId,
    MemberId,
    NewTaskStatus,
    ProjectId,
    ProjectIn,
    ProjectOut,
    ProjectPatch,
    TaskFilters,
    TaskIn,
    TaskOut,
    TaskPatch,
    TaskRef,
)


class ProjectService(Service):
    """Projects, which hold tasks together."""

    name = "projects"

    @query("GET /projects")
    def list_projects(self, *, search: Search = None, page: PageParams) -> Page[ProjectOut]:
        """List your projects, newest first.

        These are the projects that you own, and those whose owner assigned a task to you; an ADMIN sees everyone's. The
        search looks in title and description.
        """
        return self.page(self.rows(Project).search(search), ProjectOut, page)

    @query("GET /projects/{id}")
    def get_project(self, *, id: ProjectId) -> ProjectOut:
        """Get one project.

        Returns a project that you own or are a member of. For its tasks, use list_tasks with
        `project_id`.
        """
        return self.one(self.rows(Project), ProjectOut, id)

    @command("POST /projects", creates=Project)
    def create_project(self, *, data: ProjectIn) -> ProjectOut:
        """Create a project.

        You become its owner, who sees and changes every task in it. A user to whom you assign a task in it becomes a
        member, who sees the project. Returns the project.
        """
        project = Project.objects.create(owner_id=self.actor.id, **data.model_dump())
        self.changed(project)
        return self.result_of(project, ProjectOut)

    @command("PATCH /projects/{id}", "PUT /projects/{id}")
    def update_project(self, *, id: ProjectId, data: ProjectPatch) -> ProjectOut:
        """Update a project that you own.

        Changes only the fields that you send, and returns the project. Members cannot change it (403); an ADMIN may
        update any.
        """
        project = self.lock_to_change(Project, id)
        self.update(project, data.sent())
        return self.result_of(project, ProjectOut)

    @command("DELETE /projects/{id}")
    def delete_project(self, *, id: ProjectId) -> None:
        """Delete a project that you own.

        Its tasks stay, without a project; its members no longer see it. It cannot be undone. An ADMIN may delete any.
        """
        project = self.lock_to_change(Project, id)
        self.changed(project)
        project.delete()

    @command("DELETE /projects/{id}/members/{user_id}")
    def remove_project_member(self, *, id: ProjectId, user_id: MemberId) -> None:
        """Remove a member from a project that you own.

        They are unassigned from all of its tasks. They no longer see the project, and of its tasks only those that they
        created. Somebody who is not in the project is not found (404).
        """
        project = self.lock_to_change(Project, id)
        tasks = list(project.tasks.filter(assignee_id=user_id).order_by("pk").select_for_update(no_key=True))
        if not tasks or user_id == project.owner_id:
            raise NotFound("They are not in this project.")
        project.tasks.filter(pk__in=[task.pk for task in tasks]).update(
            assignee=None, assigned_by=None, updated_at=Now()
        )
        self.changed(project, *tasks)

    @query(tool=False)
    def find_project_id(self, *, ref: int) -> int | None:
        """Get the id of this project if you may see it, else null."""
        return self.find_id(Project, ref)


class TaskService(Service):
    """Tasks: what is to be done, by whom and by when."""

    name = "tasks"

    @query("GET /tasks")
    def list_tasks(self, *, filters: TaskFilters, search: Search = None, page: PageParams) -> Page[TaskOut]:
        """List your tasks, newest first.

        These are the tasks that you created, that are assigned to you, or that are in a project of yours; an ADMIN sees
        everyone's. Filters narrow each other down. The search looks in title and description.
        """
        conditions = filters.model_dump(
            exclude={"overdue", "meeting_id", "project_id", "contact_id"}, exclude_none=True
        )
        if filters.meeting_id is not None:
            conditions["due_meeting_id"] = self.of(MeetingService).find_meeting_id(ref=filters.meeting_id) or 0
        if filters.project_id is not None:
            conditions["project_id"] = self.of(ProjectService).find_project_id(ref=filters.project_id) or 0
        if filters.contact_id is not None:
            conditions["contact_id"] = self.of(ContactService).find_contact_id(ref=filters.contact_id) or 0
        rows = self.rows(Task).filter(**conditions).overdue(filters.overdue).search(search)
        return self.page(rows, TaskOut, page)

    @query("GET /tasks/{id}")
    def get_task(self, *, id: TaskRef) -> TaskOut:
        """Get one task.

        Returns a task that you created, that is assigned to you, or that is in a project of yours.
        """
        return self.one(self.rows(Task), TaskOut, id)

    @command("POST /tasks", creates=Task)
    def create_task(self, *, data: TaskIn) -> TaskOut:
        """Create a task, for yourself or for a user you know.

        You and its assignee see it, the owner of its project, and ADMINs. In another's project, the assignee is you or
        somebody who is in it (else 403). The assignee gets a mail, unless it is you. The day before the due date, the
        assignee is reminded by mail, or you if nobody is assigned. Returns the task.
        """
        task = Task(creator_id=self.actor.id, **self._resolve_references(data.model_dump()))
        self._set_assigned_by(task, project=None, assignee=None)
        task.save(force_insert=True)
        self.changed(task)
        self._mail_assignee(task, before=None)
        return self.result_of(task, TaskOut)

    @command("PATCH /tasks/{id}", "PUT /tasks/{id}")
    def update_task(self, *, id: TaskRef, data: TaskPatch) -> TaskOut:
        """Update a task.

        Changes only the fields that you send. Its creator and the owner of its project may change everything, its
        assignee the status alone (else 403). A new assignee gets a mail. Returns the task.
        """
        task = self.lock(Task, id)
        if not task.may_be_changed_by(self.actor) and data.model_fields_set != {"status"}:
            raise Forbidden("The assignee may change a task's status only.")
        return self._save_changes(task, data.sent())

    @command("DELETE /tasks/{id}")
    def delete_task(self, *, id: TaskRef) -> None:
        """Delete a task that you created, or that is in a project of yours.

        Sends no mail. It cannot be undone; to keep the task, set its status to `cancelled` instead. An assignee may
        not delete it (403).
        """
        task = self.lock_to_change(Task, id)
        self.changed(task)
        task.delete()

    @command("PATCH /tasks/{id}/status", "POST /tasks/{id}/status/{status}")
    def set_task_status(self, *, id: TaskRef, status: NewTaskStatus) -> TaskOut:
        """Set the status of a task.

        Everyone who sees the task may do this. Sends no mail. Returns the task.
        """
        return self._save_changes(self.lock(Task, id), {"status": status})

    @command("POST /tasks/{id}/assign/{user_id}")
    def assign_task(self, *, id: TaskRef, user_id: AssigneeId) -> TaskOut:
        """Assign a task to a user.

        Its creator and the owner of its project may do this. The user sees the task, may set its status, and gets a
        mail, unless it is you. In a project, its owner thus makes the user a member; others assign to those who are in
        it. A previous assignee no longer sees the task. Returns the task.
        """
        task = self.lock_to_change(Task, id)
        if self.of(UserService).find_user_id(ref=user_id) is None:
            raise NotFound("There is no such user, or you do not know them.")
        return self._save_changes(task, {"assignee_id": user_id}, reassigned=True)

    @query(tool=False)
    def tasks_of_contact(self, *, query: TimelineQuery) -> TimelineEntries:
        """List your tasks with a contact, for its timeline."""
        return timeline.entries(
            query,
            self.rows(Task).filter(contact_id=query.contact_id),
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
        """Send reminders of the tasks that are due tomorrow, in UTC.

        They go to the assignee, else to the creator, once for each due date.
        """
        due = Task.objects.to_remind_of().select_related("assignee", "creator", "project")
        for task in self.claim_due(due, self.mail_due_tasks, reminded_for=F("due_date")):
            self.mail(
                to=(task.assignee or task.creator).email,
                kind="task_due",
                template="task_due",
                context={"task": task, "project": task.project_title_for(task.assignee or task.creator)},
                key=f"task_due:{task.pk}:{task.due_date}",
            )

    def _save_changes(self, task: Task, fields: dict[str, Any], *, reassigned: bool = False) -> TaskOut:
        """Saves changes of a task. `reassigned`: it counts as newly assigned, even to the same user."""
        fields |= self._resolve_references(
            {name: value for name, value in fields.items() if value != getattr(task, name)}
        )
        project, assignee = task.project_id, task.assignee_id
        task.assign(fields)
        self._set_assigned_by(task, project, None if reassigned and task.may_be_given_by(self.actor) else assignee)
        self.save(task)
        self._mail_assignee(task, before=assignee)
        return self.result_of(task, TaskOut)

    def _set_assigned_by(self, task: Task, project: int | None, assignee: int | None) -> None:
        """Sets `assigned_by` if the assignee is new, or if somebody else than its owner put the task into a project.

        `project` and `assignee` are the ids before the change. Raises Forbidden if the change would add somebody to
        another user's project.
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
        """Writes a mail to an assignee who is not the actor, nor the one `before`."""
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

    def _resolve_references(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self.resolve_references(
            fields,
            {
                "due_meeting_id": (self.of(MeetingService).find_meeting_id, "You see no such meeting."),
                "project_id": (self.of(ProjectService).find_project_id, "You see no such project."),
                "assignee_id": (self.of(UserService).find_user_id, "You know no such user."),
                "contact_id": (self.of(ContactService).find_contact_id, "You have no such contact."),
            },
        )
