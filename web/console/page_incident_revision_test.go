package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// comment adds a comment to incident 1, and returns its sequence.
func (w *world) comment(user incident.UserID, text string) int64 {
	w.Helper()
	a, err := w.incidents.Comment(w.Context(), incident.Key{OrganizationID: "acme", Identifier: 1}, incident.NewComment{UserID: user, Comment: text})
	if err != nil {
		w.Fatal(err)
	}
	return a.Sequence
}

// revising returns the path of incident 1 with the form for a comment.
func revising(sequence int64) string { return fmt.Sprintf("/incidents/1?revise=%d", sequence) }

var sequenceField = regexp.MustCompile(`<input type="hidden" name="sequence" value="([^"]*)">`)

// revision returns the fields of a page with the form for a comment.
func (w *world) revision(page string, fields ...string) url.Values {
	w.Helper()
	m := sequenceField.FindStringSubmatch(page)
	if m == nil {
		w.Fatalf("the page has no form for a comment: %s", page)
	}
	return w.form(page, append(fields, "sequence", m[1])...)
}

func TestRevision_editsAndDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	n := w.comment("dana", "first <b>\nline")
	w.wants(w.page("dana", path, http.StatusOK), fmt.Sprintf(`<a href="../incidents/1?revise=%d#revision">Edit or delete</a>`, n))
	page := w.page("dana", revising(n), http.StatusOK)
	w.wants(page, "first &lt;b&gt;\nline</textarea>", "Delete the comment", fmt.Sprintf(`<a href="../incidents/1#a%d">Cancel</a>`, n))
	w.lacks(page, "Edit or delete")
	form := w.revision(page, "comment", "second\r\nline")
	for range 2 { // sent twice
		if got := w.post("dana", path+"/edit-comment", form, http.StatusSeeOther).Header().Get("Location"); got != "../1?done=edit-comment" {
			t.Errorf("the Location is %q", got)
		}
	}
	page = w.page("dana", path+"?done=edit-comment", http.StatusOK)
	w.wants(page, "second\nline</blockquote>", "The comment is changed.", ", edited <time")
	w.lacks(page, "first &lt;b&gt;")
	form = w.revision(w.page("dana", revising(n), http.StatusOK))
	for range 2 {
		if got := w.post("dana", path+"/delete-comment", form, http.StatusSeeOther).Header().Get("Location"); got != "../1?done=delete-comment" {
			t.Errorf("the Location is %q", got)
		}
	}
	page = w.page("dana", path+"?done=delete-comment", http.StatusOK)
	w.wants(page, "The comment is deleted.", ", deleted <time")
	w.lacks(page, "second\nline", "Edit or delete")
}

// Only the author has the form, and only while the comment is there.
func TestRevision_isForTheAuthor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	own, program, read := w.comment("dana", "by dana"), w.comment("", "by a program"), w.comment("rae", "by a reader")
	w.store.writes.Store(0)
	for viewer, n := range map[string]int64{"erin": own, "dana": program, "reader": read} {
		page := w.page(viewer, revising(n), http.StatusOK)
		w.lacks(page, `id="revision"`, fmt.Sprintf("revise=%d", n))
		form := url.Values{"sequence": {fmt.Sprint(n)}, "comment": {"stolen"}, "uuid": {strings.Repeat("0a", 16)}}
		w.post(viewer, path+"/edit-comment", form, http.StatusForbidden)
		w.post(viewer, path+"/delete-comment", form, http.StatusForbidden)
	}
	for _, query := range []string{"", "0", "1", "99", "-1", "x", "0" + fmt.Sprint(own)} {
		w.lacks(w.page("dana", path+"?revise="+query, http.StatusOK), `id="revision"`)
	}
	if n := w.store.writes.Load(); n != 0 {
		t.Errorf("%d writes of viewers who are not the author", n)
	}
}

// A form that is refused keeps its text, and can be sent again.
func TestRevision_keepsTheText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	n := w.comment("dana", "first")
	page := w.page("dana", revising(n), http.StatusOK)
	long := strings.Repeat("é", incident.MaxCommentSize/2) + "!"
	for _, text := range []string{long, " \r\n ", "a\x00b"} {
		refused := w.post("dana", path+"/edit-comment", w.revision(page, "comment", text), http.StatusBadRequest).Body.String()
		w.wants(refused, "Your text is kept", `id="edit-comment-comment-problem"`, `action="../../incidents/1/edit-comment"`)
		w.post("dana", path+"/edit-comment", w.revision(refused, "comment", "mended"), http.StatusSeeOther)
	}
	w.wants(w.post("dana", path+"/edit-comment", w.revision(page, "comment", long), http.StatusBadRequest).Body.String(), long+"</textarea>")
	for _, sequence := range []string{"", "0", "x", "1"} { // 1 is no comment
		refused := w.post("dana", path+"/edit-comment", w.form(page, "sequence", sequence, "comment", "my text"), http.StatusBadRequest).Body.String()
		w.wants(refused, "my text</textarea>", "cannot be used")
	}
	w.wants(w.page("dana", path, http.StatusOK), "mended</blockquote>")
}

// The text for a comment that was deleted meanwhile can be sent as a new comment.
func TestRevision_ofADeletedComment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	n := w.comment("dana", "first")
	page := w.page("dana", revising(n), http.StatusOK)
	w.post("dana", path+"/delete-comment", w.revision(page), http.StatusSeeOther)
	refused := w.post("dana", path+"/edit-comment", w.revision(page, "comment", "my \"text\""), http.StatusConflict).Body.String()
	w.wants(refused, "deleted meanwhile", "my &#34;text&#34;</textarea>")
	w.lacks(refused, `id="revision"`)
	w.post("dana", path+"/comment", w.form(refused, "comment", "my \"text\""), http.StatusSeeOther)
	w.wants(w.page("dana", path, http.StatusOK), "my &#34;text&#34;</blockquote>")
}

// A form whose outcome is unknown is kept, and may be sent again.
func TestRevision_ofAStoreThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	form := w.revision(w.page("dana", revising(w.comment("dana", "first")), http.StatusOK), "comment", "second")
	w.faults.writes, w.faults.after = incident.ErrUnknownOutcome, true
	w.wants(w.post("dana", path+"/edit-comment", form, http.StatusServiceUnavailable).Body.String(),
		"may have been written", "second</textarea>", `name="sequence"`, "Send again")
	w.faults.writes = nil
	w.post("dana", path+"/edit-comment", form, http.StatusSeeOther)
	w.wants(w.page("dana", path, http.StatusOK), "second</blockquote>")
}

// A long comment is whole in its form, on an older page of the timeline too.
func TestRevision_ofALongOldComment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	long := strings.Repeat("x", 5000) + "!"
	n := w.comment("dana", long)
	for range 60 {
		w.comment("erin", "later")
	}
	w.lacks(w.page("dana", revising(n), http.StatusOK), `id="revision"`)
	_, older, _ := strings.Cut(w.page("dana", path, http.StatusOK), `<a rel="next" href="..`)
	older, _, _ = strings.Cut(older, `"`)
	_, link, found := strings.Cut(w.page("dana", older, http.StatusOK), fmt.Sprintf("revise=%d", n))
	if !found || !strings.HasPrefix(link, "#revision") {
		t.Fatalf("the older page has no link to the form for comment %d", n)
	}
	page := w.page("dana", older+fmt.Sprintf("&revise=%d", n), http.StatusOK)
	w.wants(page, long+"</textarea>")
	w.post("dana", path+"/edit-comment", w.revision(page, "comment", "short"), http.StatusSeeOther)
}
