package incident_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// A comment without a user subscribes those whom it mentions, and is safe to repeat. The Authorizer is
// not asked about the program.
func TestComment_ofAProgram(t *testing.T) {
	m, _ := guarded(t)
	n := incident.NewComment{Comment: "Deployed 42", Mentions: []incident.UserID{"grace"}, NotificationUUID: uuid.New()}
	first, err := m.Comment(t.Context(), key, n)
	if err != nil || first.UserID != "" || first.Type != incident.ActivityTypeComment || first.Comment != n.Comment {
		t.Fatalf("Comment() = %+v, %v", first, err)
	}
	if again, err := m.Comment(t.Context(), key, n); err != nil || again.Sequence != first.Sequence {
		t.Errorf("repeated: %+v, %v, want activity %d", again, err, first.Sequence)
	}
	if got := mustSubscribers(t, m); !slices.Equal(got, []incident.UserID{"grace"}) {
		t.Errorf("the subscribers are %v", got)
	}
	for _, bad := range []incident.NewComment{
		{},
		{Comment: " "},
		{Comment: "x", Mentions: []incident.UserID{""}},
		{Comment: "x", Mentions: []incident.UserID{"mallory"}},
	} {
		if a, err := m.Comment(t.Context(), key, bad); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("Comment(%+v) = %+v, %v, want ErrInvalid", bad, a, err)
		}
	}
}

// Nobody is the author of a program's comment: only a moderator, who is a user, changes it.
func TestComment_ofAProgramIsChangedByModerators(t *testing.T) {
	m, _ := guarded(t)
	a, err := m.Comment(t.Context(), key, incident.NewComment{Comment: "Deployed 42"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user      incident.UserID
		moderator bool
		want      error
	}{
		{"", false, incident.ErrInvalid},
		{"", true, incident.ErrInvalid},
		{"ada", false, incident.ErrForbidden},
		{"ada", true, nil},
	} {
		e := incident.CommentEdit{Sequence: a.Sequence, UserID: c.user, Moderator: c.moderator, Comment: "Deployed 43"}
		edited, err := m.EditComment(t.Context(), key, e)
		if !errors.Is(err, c.want) || err == nil && (edited.Comment != e.Comment || edited.UserID != "") {
			t.Errorf("EditComment(%+v) = %+v, %v, want %v", e, edited, err, c.want)
		}
		e.Comment = ""
		if deleted, err := m.DeleteComment(t.Context(), key, e); !errors.Is(err, c.want) || err == nil && deleted.DateDeleted == nil {
			t.Errorf("DeleteComment(%+v) = %+v, %v, want %v", e, deleted, err, c.want)
		}
	}
}

// All subscribers are notified of a program's comment.
func TestComment_ofAProgramNotifiesAllSubscribers(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		o.mustComment(t, key, "grace")
		if _, err := o.Comment(t.Context(), key, incident.NewComment{Comment: "Deployed 42"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		o.mu.Lock()
		defer o.mu.Unlock()
		last := o.got[len(o.got)-1]
		if last.Activity.Comment != "Deployed 42" || !slices.Equal(last.Recipients, []incident.UserID{"ada", "grace"}) {
			t.Errorf("the last notification is %+v", last)
		}
	})
}
