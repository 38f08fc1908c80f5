package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

func TestWrite_showsTheProblemAtTheField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	page := w.page("dana", path, http.StatusOK)
	w.store.writes.Store(0)
	long := strings.Repeat("é", incident.MaxCommentSize/2) + "!"
	for _, step := range []struct {
		action, field, value string
		wants                []string
	}{
		{"comment", "comment", long, []string{long + "</textarea>", "comment-comment-problem"}},
		{"comment", "comment", " \r\n ", []string{"comment-comment-problem"}},
		{"comment", "comment", "a\x00b", []string{"comment-comment-problem"}},
		{"comment", "comment", "a\xffb", []string{"comment-comment-problem"}},
		{"edit", "title", "  ", []string{`value="  "`, "title-problem", "is required"}},
		{"edit", "title", strings.Repeat("x", incident.MaxTitleLength+1), []string{strings.Repeat("x", incident.MaxTitleLength+1), "title-problem"}},
		{"acknowledge", "until", "1s", []string{"until-problem"}},
		{"acknowledge", "comment", long, []string{long, "acknowledge-comment-problem"}},
		{"assign", "assignee", "mallory", []string{"assignee-problem"}},
		{"status", "status", "closed", []string{"must be one of the list"}},
		{"status", "status", "", []string{"must be one of the list"}},
		{"resolve", "comment", long, []string{"resolve-comment-problem"}},
	} {
		answer := w.post("dana", path+"/"+step.action, w.form(page, step.field, step.value), http.StatusBadRequest)
		w.wants(answer.Body.String(), append(step.wants, "Your text is kept", `id="notice"`)...)
	}
	if n := w.store.writes.Load(); n != 0 {
		t.Errorf("%d writes of refused forms", n)
	}
}

func TestWrite_needsTheVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	for _, action := range []string{"acknowledge", "withdraw", "assign", "resolve", "reopen", "status", "edit"} {
		for _, version := range []string{"", "0", "-1", "x"} {
			form := url.Values{"version": {version}, "status": {"critical"}, "title": {"x"}}
			w.wants(w.post("dana", path+"/"+action, form, http.StatusBadRequest).Body.String(), "cannot be used")
		}
	}
}

func TestWrite_refusesOtherBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	for kind, status := range map[string]int{
		"application/json": http.StatusUnsupportedMediaType, "multipart/form-data; boundary=x": http.StatusUnsupportedMediaType,
		"": http.StatusUnsupportedMediaType, "application/x-www-form-urlencoded; charset=utf-8": http.StatusSeeOther,
	} {
		got := w.do("dana", http.MethodPost, path+"/comment", url.Values{"comment": {"x"}}, "Content-Type", kind)
		if got.Code != status {
			t.Errorf("%q has status %d, want %d", kind, got.Code, status)
		}
	}
	w.post("dana", path+"/comment", url.Values{"comment": {strings.Repeat("<", 90_000)}}, http.StatusRequestEntityTooLarge)
}

// openTwo leaves a closed incident 1 of the projects shop and pay, whose slot of pay the active
// incident 2 holds.
func (w *world) openTwo() {
	w.Helper()
	fire := func(title string) {
		_, err := w.incidents.Fire(w.Context(), incident.Firing{
			Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "pay"},
			TriggerID: "t", Severity: incident.StatusWarning, Title: "Payment " + title,
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	fire("one")
	key := incident.Key{OrganizationID: "acme", Identifier: 1}
	if _, err := w.incidents.LinkProject(w.Context(), key, "shop"); err != nil {
		w.Fatal(err)
	}
	if _, err := w.incidents.UpdateStatus(w.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
		w.Fatal(err)
	}
	fire("two")
}

func TestWrite_namesTheHolderOfTheSlot(t *testing.T) {
	t.Parallel()
	for viewer, visible := range map[string]bool{"dana": true, "limited": false} {
		w := newWorld(t)
		w.openTwo()
		form := w.form(w.page(viewer, "/incidents/1", http.StatusOK), "status", "critical", "comment", "again")
		page := w.post(viewer, "/incidents/1/reopen", form, http.StatusConflict).Body.String()
		w.wants(page, "Another incident is active", "#2", `value="again"`, `value="critical" checked`)
		if got := strings.Contains(page, "Payment two"); got != visible || strings.Contains(page, `href="../../incidents/2"`) != visible {
			t.Errorf("%s sees the other incident: %t, want %t", viewer, got, visible)
		}
	}
}

func TestWrite_duplicateOfAHiddenIncident(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("A secret", "pay")
	w.create("For all")
	if _, err := w.incidents.MarkDuplicate(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 2}, incident.Duplicate{Of: 1}); err != nil {
		t.Fatal(err)
	}
	w.lacks(w.page("limited", "/incidents/2", http.StatusOK), "secret", "incidents/1\"")
	w.wants(w.page("dana", "/incidents/2", http.StatusOK), "Duplicate of", `<a href="../incidents/1">#1 <bdi>A secret</bdi></a>`)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.create(fmt.Sprintf("Incident %d", i+1))
	}
	w.create("A secret", "pay")
	w.create("Over")
	page := w.page("limited", "/?status=open&q=incident", http.StatusOK)
	w.post("dana", "/incidents/2/resolve", w.form(w.page("dana", "/incidents/2", http.StatusOK)), http.StatusSeeOther)
	form := w.form(page, "action", "resolve", "key", "1", "key", "2", "key", "6", "key", "99", "key", "1", "back", "q=incident&status=open&evil=1&cursor=x")
	w.store.writes.Store(0)
	question := w.post("limited", "/bulk", form, http.StatusOK).Body.String()
	w.wants(question, "<h1>Resolve 4 incidents?</h1>", "Incident 1", "Not found", `href="./?q=incident&amp;status=open"`)
	w.lacks(question, "secret", "evil", "cursor")
	if n := w.store.writes.Load(); n != 0 {
		t.Fatalf("%d writes before the confirmation", n)
	}
	confirmed := w.form(question, "action", "resolve", "key", "1", "key", "2", "key", "6", "key", "99", "confirm", "yes")
	result := w.post("limited", "/bulk", confirmed, http.StatusOK).Body.String()
	w.wants(result, "2 of 4 incidents failed", ">Resolved<", ">Resolved before<", ">Not found<", `class="row failed" data-id="6"`)
	w.lacks(result, "secret")
	again := w.post("limited", "/bulk", confirmed, http.StatusOK).Body.String()
	w.wants(again, "2 of 4 incidents failed")
	if n := w.activities(incident.Key{OrganizationID: "acme", Identifier: 1}); n != 3 {
		t.Errorf("%d activities after the form was sent twice, want 3", n)
	}
	w.wants(w.page("dana", "/incidents/6", http.StatusOK), "status-open")
	dialog := w.form(page, "action", "acknowledge", "key", "3", "key", "2")
	w.wants(w.post("limited", "/bulk?confirm=yes", dialog, http.StatusOK).Body.String(), ">Acknowledged<", ">Not active any more<", "Done.")
}

func TestBulk_refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("x")
	many := url.Values{"action": {"resolve"}, "confirm": {"yes"}}
	for i := range 101 {
		many.Add("key", fmt.Sprint(i+1))
	}
	w.wants(w.post("dana", "/bulk", many, http.StatusBadRequest).Body.String(), "at most 100 incidents at once")
	w.wants(w.post("dana", "/bulk", url.Values{"action": {"resolve"}, "key": {"x"}}, http.StatusBadRequest).Body.String(), "No incident is chosen")
	w.post("dana", "/bulk", url.Values{"action": {"explode"}, "key": {"1"}}, http.StatusBadRequest)
}

func TestBulk_ofAStoreThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("x")
	form := url.Values{"action": {"resolve"}, "key": {"1"}, "confirm": {"yes"}, "uuid": {strings.Repeat("ab", 16)}}
	w.faults.writes, w.faults.after = incident.ErrUnknownOutcome, true
	page := w.post("dana", "/bulk", form, http.StatusServiceUnavailable).Body.String()
	w.wants(page, "may have been written", `name="key" value="1"`, strings.Repeat("ab", 16), "Send again")
	w.faults.writes = nil
	w.wants(w.post("dana", "/bulk", form, http.StatusOK).Body.String(), "Done.")
}

// Who signs in to another organization in a second tab does not write there with the forms of the first.
func TestWrite_refusesFormsOfAnotherViewer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	if _, err := w.incidents.Create(t.Context(), incident.NewIncident{OrganizationID: "globex", Title: "Another"}); err != nil {
		t.Fatal(err)
	}
	page := w.page("dana", path, http.StatusOK)
	for _, other := range []string{"foreign", "erin"} {
		for _, action := range []string{"comment", "resolve", "follow"} {
			form := w.form(page, "comment", "for acme alone")
			answer := w.post(other, path+"/"+action, form, http.StatusConflict).Body.String()
			w.wants(answer, "Signed in as another user", "for acme alone", form.Get("uuid"), "Nothing was written.")
		}
		w.post(other, "/bulk?confirm=yes", w.form(w.page("dana", "/", http.StatusOK), "key", "1", "action", "resolve"), http.StatusConflict)
	}
	// An incident that the other viewer does not have costs no text, either.
	if _, err := w.incidents.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Only here"}); err != nil {
		t.Fatal(err)
	}
	form := w.form(w.page("dana", "/incidents/2", http.StatusOK), "comment", "for acme alone")
	w.wants(w.post("foreign", "/incidents/2/comment", form, http.StatusConflict).Body.String(), "for acme alone")
	// The resent form is that of its viewer.
	w.post("dana", "/incidents/2/comment", form, http.StatusSeeOther)
	for _, key := range []incident.Key{{OrganizationID: "acme", Identifier: 1}, {OrganizationID: "globex", Identifier: 1}} {
		if n := w.activities(key); n != 2 {
			t.Errorf("%s has %d activities, want 2", key, n)
		}
	}
}
