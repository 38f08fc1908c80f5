package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

func TestWrite_eachForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails", "shop")
	for _, step := range []struct {
		action string
		fields []string
		done   string   // on the page afterwards
		wants  []string // on the page afterwards
	}{
		{"acknowledge", []string{"until", "4h", "comment", "on it"}, "Acknowledged.", []string{"until <time", "on it", "Acknowledge for longer"}},
		{"withdraw", nil, "withdrawn", []string{"withdrew the acknowledgement"}},
		{"assign", []string{"assignee", "erin"}, "Assigned.", []string{"assigned to <bdi>erin</bdi>", "nobody"}},
		{"status", []string{"status", "critical"}, "severity is set", []string{`<span class="before"><span class="status status-open">`, `<span class="status status-critical">`}},
		{"resolve", []string{"comment", "a \r\nremark"}, "Resolved.", []string{"a \nremark", "Reopen"}},
		{"reopen", []string{"status", "warning"}, "Reopened.", []string{`<span class="status status-warning">`}},
		{"edit", []string{"title", " Checkout is slow "}, "title is changed", []string{"<h1><bdi>Checkout is slow</bdi></h1>", "Checkout fails"}},
		{"comment", []string{"comment", "two\r\nlines <b>"}, "comment is added", []string{"two\nlines &lt;b&gt;</blockquote>"}},
		{"unfollow", nil, "no longer follow", []string{"/incidents/1/follow"}},
		{"follow", nil, "You follow", []string{"/incidents/1/unfollow", "<li><bdi>dana</bdi></li>"}},
	} {
		form := w.form(w.page("dana", path, http.StatusOK), step.fields...)
		answer := w.post("dana", path+"/"+step.action, form, http.StatusSeeOther)
		if got, want := answer.Header().Get("Location"), "../1?done="+step.action; got != want {
			t.Errorf("%s redirects to %q, want %q", step.action, got, want)
		}
		page := w.page("dana", path+"?done="+step.action, http.StatusOK)
		w.wants(page, append(step.wants, step.done)...)
	}
}

func TestWrite_onceForAFormThatIsSentTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails", "shop")
	key := incident.Key{OrganizationID: "acme", Identifier: 1}
	for _, step := range []struct{ action, field, value string }{
		{"comment", "comment", "once"},
		{"acknowledge", "until", "1h"},
		{"assign", "assignee", "erin"},
		{"status", "status", "warning"},
		{"edit", "title", "Other"},
		{"resolve", "comment", "done"},
		{"reopen", "status", "critical"},
	} {
		form := w.form(w.page("dana", path, http.StatusOK), step.field, step.value)
		w.post("dana", path+"/"+step.action, form, http.StatusSeeOther)
		before := w.activities(key)
		again := w.post("dana", path+"/"+step.action, form, http.StatusSeeOther)
		if again.Header().Get("Location") != "../1?done="+step.action {
			t.Errorf("%s redirects to %q the second time", step.action, again.Header().Get("Location"))
		}
		if got := w.activities(key); got != before {
			t.Errorf("%s: %d activities after the second, %d after the first", step.action, got, before)
		}
	}
}

func TestWrite_twoCommentsFromAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	page := w.page("dana", path, http.StatusOK)
	w.post("dana", path+"/comment", w.form(page, "comment", "first"), http.StatusSeeOther)
	w.post("dana", path+"/comment", w.form(page, "comment", "second"), http.StatusSeeOther)
	w.wants(w.page("dana", path, http.StatusOK), "first</blockquote>", "second</blockquote>")
}

// activities returns the number of an incident's activities.
func (w *world) activities(key incident.Key) int {
	w.Helper()
	page, err := w.incidents.Activities(w.Context(), key, incident.ActivityFilter{Limit: incident.MaxPageSize})
	if err != nil {
		w.Fatal(err)
	}
	return len(page.Activities)
}

func TestWrite_conflictKeepsTheText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	stale := w.page("dana", path, http.StatusOK)
	w.post("erin", path+"/status", w.form(w.page("erin", path, http.StatusOK), "status", "critical", "comment", "worse <now>"), http.StatusSeeOther)
	answer := w.post("dana", path+"/resolve", w.form(stale, "comment", "my \"text\""), http.StatusConflict)
	page := answer.Body.String()
	_, notice, _ := strings.Cut(page, `id="notice"`)
	notice, _, _ = strings.Cut(notice, "</section>")
	w.wants(notice, "changed meanwhile", "<bdi class=\"actor\">erin</bdi> changed the status", "worse &lt;now&gt;")
	w.lacks(notice, "was recorded")
	w.wants(page, `value="my &#34;text&#34;"`, `<details id="form-resolve" class="write" open><summary data-key="r">Resolve`)
	w.post("dana", path+"/resolve", w.form(page, "comment", "my \"text\""), http.StatusSeeOther)
	w.wants(w.page("dana", path, http.StatusOK), "my &#34;text&#34;</blockquote>")
}

func TestWrite_commentNeverConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	stale := w.page("dana", path, http.StatusOK)
	w.post("erin", path+"/resolve", w.form(w.page("erin", path, http.StatusOK)), http.StatusSeeOther)
	w.post("dana", path+"/comment", w.form(stale, "comment", "still"), http.StatusSeeOther)
}

func TestWrite_thatChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	if got := w.post("dana", path+"/withdraw", w.form(w.page("dana", path, http.StatusOK)), http.StatusSeeOther).Header().Get("Location"); got != "../1?done=already" {
		t.Errorf("the Location is %q", got)
	}
	page := w.post("dana", path+"/assign", w.form(w.page("dana", path, http.StatusOK), "assignee", "", "comment", "my remark"), http.StatusConflict).Body.String()
	w.wants(page, "It was so already", `value="my remark"`)
}
