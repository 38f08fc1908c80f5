package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// Reminders are set, moved and cancelled by name, and end with the incident.
func testReminders(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key) + "reminders/"
	pending := func() []incident.Reminder {
		return decode[[]incident.Reminder](w, w.want(200, "", "ada", "GET", path, ""))
	}
	w.want(200, "[]", "ada", "GET", path, "")
	const at = `"2126-03-14T02:31:00Z"`
	for body, want := range map[string]string{
		`{}`:                                    `{"at":["must be a date as in 2006-01-02T15:04:05Z"]}`,
		`{"at":"tomorrow"}`:                     `{"at":["must be a date as in 2006-01-02T15:04:05Z"]}`,
		`{"at":1}`:                              `{"at":["must be a string"]}`,
		`{"at":"2026-03-14T02:31:00Z"}`:         `{"at":["must be in the future"]}`,
		`{"at":` + at + `,"unless":4}`:          `{"unless":["has the unknown conditions 4"]}`,
		`{"at":` + at + `,"unless":-1}`:         `{"unless":["has the unknown conditions -4"]}`,
		`{"at":` + at + `,"unless":"1"}`:        `{"unless":["must be an integer"]}`,
		`{"at":` + at + `,"notifier":"nobody"}`: `{"notifier":["is not in the options of the Manager"]}`,
		`{"at":` + at + `,"name":"x"}`:          `{"detail":"malformed: unknown field \"name\""}`,
	} {
		w.want(400, want, "ada", "PUT", path+"look/", body)
	}
	for _, name := range []string{"%00", "%0a", "%ff", strings.Repeat("x", 256)} {
		w.want(400, "", "ada", "PUT", path+name+"/", `{"at":`+at+`}`)
		w.want(400, "", "ada", "DELETE", path+name+"/", "")
	}
	if got := pending(); len(got) != 0 {
		w.Errorf("after refused requests %+v is pending", got)
	}

	odd := `a/b ?"<ä>`
	w.want(204, "", "ada", "PUT", path+url.PathEscape(odd)+"/", `{"at":"2126-03-14T03:31:00+01:00","unless":3,"notifier":"pager"}`)
	w.want(204, "", "ada", "PUT", path+"look/", `{"at":`+at+`,"unless":null,"notifier":""}`)
	w.want(204, "", "grace", "PUT", path+"look/", `{"at":"2126-03-15T02:31:00Z"}`)
	due := time.Date(2126, 3, 14, 2, 31, 0, 0, time.UTC)
	got := pending()
	if len(got) != 2 || got[0].Name != odd || !got[0].At.Equal(due) || got[0].Notifier != "pager" ||
		got[0].Unless != incident.UnlessAcknowledged|incident.UnlessLowered || got[0].Status != incident.StatusWarning ||
		got[1].Name != "look" || !got[1].At.Equal(due.AddDate(0, 0, 1)) || got[1].Notifier != "" || got[1].Unless != 0 {
		w.Errorf("pending are %+v", got)
	}
	w.want(403, "", "bob", "GET", path, "")
	w.want(403, "", "bob", "DELETE", path+"look/", "")
	for range 2 {
		w.want(204, "", "ada", "DELETE", path+"look/", "")
	}
	if got := pending(); len(got) != 1 || got[0].Name != odd {
		w.Errorf("after a cancellation %+v is pending", got)
	}
	for i := range incident.MaxReminders - 1 {
		w.want(204, "", "ada", "PUT", fmt.Sprintf("%s%d/", path, i), `{"at":`+at+`}`)
	}
	w.want(400, "", "ada", "PUT", path+"more/", `{"at":`+at+`}`)
	w.want(200, "", "ada", "PUT", incidentURL(key), `{"status":2}`)
	w.want(200, "[]", "ada", "GET", path, "")
	w.want(400, `{"incident":["is closed, and a closed incident has no reminders"]}`, "ada", "PUT", path+"look/", `{"at":`+at+`}`)
}

// park gives up all that is queued for a notifier.
func (w *world) park(notifier string) {
	w.Helper()
	outbox := w.store.(incident.OutboxStore)
	for {
		claims, err := outbox.Claim(w.Context(), incident.ClaimQuery{
			NotifyTarget: incident.NotifyTarget{Notifier: notifier}, Limit: 100, PerOrganization: 100, Lease: time.Minute,
		})
		if err != nil {
			w.Fatal(err)
		}
		if len(claims) == 0 {
			return
		}
		all := make([]incident.Settlement, len(claims))
		for i, c := range claims {
			all[i] = incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark, Error: "the <pager> is broken"}
		}
		if _, err := outbox.Settle(w.Context(), all); err != nil {
			w.Fatal(err)
		}
	}
}

// Parked notifications are listed, replayed and discarded by incident and notifier.
func testParked(w *world) {
	w.park("pager") // of other tests
	w.park("")
	key, other := w.fire(w.acme), w.create(w.acme, "Other", "search")
	path := incidentURL(key) + "parked/"
	for _, notifier := range []string{"", "?notifier=pager"} {
		w.want(200, "[]", "ada", "GET", path+notifier, "")
		w.want(200, `{"count":0}`, "ada", "POST", path+"replay/"+notifier, "")
		w.want(200, `{"count":0}`, "ada", "DELETE", path+notifier, "")
	}
	err := w.incidents.Remind(w.Context(), key, incident.Reminder{Name: "look", Notifier: "pager", At: time.Now().Add(20 * time.Millisecond)})
	if err != nil {
		w.Fatal(err)
	}
	parked := func(query string) []incident.ParkedNotification {
		return decode[[]incident.ParkedNotification](w, w.want(200, "", "ada", "GET", path+query, ""))
	}
	var got []incident.ParkedNotification
	for begun := time.Now(); len(got) < 4; got = parked("?notifier=pager") { // until the reminder was due
		if time.Since(begun) > time.Minute {
			w.Fatalf("parked are %+v", got)
		}
		w.park("pager")
	}
	for i, p := range got[:3] {
		if p.Incident != key || p.Notifier != "pager" || p.Sequence != int64(i)+1 || p.Attempts != 1 || p.Error != "the <pager> is broken" {
			w.Errorf("parked is %+v", p)
		}
	}
	if r := got[3].Reminder; len(got) != 4 || r == nil || r.Name != "look" || r.NotificationUUID != got[3].NotificationUUID {
		w.Errorf("parked are %+v", got)
	}
	// The notifier without a name has parked nothing, and another incident has its own.
	w.want(200, "[]", "ada", "GET", path, "")
	w.want(403, "", "ada", "GET", incidentURL(other)+"parked/?notifier=pager", "")
	w.want(403, "", "ada", "POST", incidentURL(other)+"parked/replay/?notifier=pager", "")
	w.want(403, "", "ada", "DELETE", incidentURL(other)+"parked/?notifier=pager", "")

	w.want(400, `{"notifier":["must not be empty"]}`, "ada", "GET", path+"?notifier=", "")
	w.want(400, "", "ada", "GET", path+"?notifier="+strings.Repeat("x", 256), "")
	w.want(400, "", "ada", "DELETE", path+"?notifier=%0a", "")
	w.want(400, "", "ada", "GET", path+"?notifier=pager&cursor=AAAA", "")
	page := w.want(200, "", "ada", "GET", path+"?notifier=pager&per_page=3", "")
	last := w.want(200, "", "ada", "GET", follow(w, page, "next"), "")
	if first, rest := decode[[]incident.ParkedNotification](w, page), decode[[]incident.ParkedNotification](w, last); len(first) != 3 || len(rest) != 1 {
		w.Errorf("the pages have %d and %d notifications, want 3 and 1", len(first), len(rest))
	}

	w.want(200, `{"count":4}`, "ada", "POST", path+"replay/?notifier=pager", "")
	w.want(200, "[]", "ada", "GET", path+"?notifier=pager", "")
	w.park("pager")
	w.want(200, `{"count":4}`, "ada", "DELETE", path+"?notifier=pager", "")
	w.want(200, "[]", "ada", "GET", path+"?notifier=pager", "")
	if page, err := w.incidents.Parked(w.Context(), incident.ParkedFilter{OrganizationID: w.acme, Notifier: "pager"}); err != nil || len(page.Notifications) == 0 {
		w.Errorf("of the other incident %d are parked, %v", len(page.Notifications), err)
	}
}

// The notifier logs what it is asked to deliver.
func TestLogNotifications(t *testing.T) {
	log := new(lockedBuffer)
	notifier, tuned := logNotifications(slog.New(slog.NewJSONHandler(log, nil)))
	inc := incident.Incident{OrganizationID: "acme", Identifier: 7}
	for _, n := range []incident.Notification{
		{Activity: incident.Activity{Type: incident.ActivityTypeStatusChange}, Incident: inc, Recipients: []incident.UserID{"ada"}, Attempt: 1},
		{Reminder: &incident.Reminder{Name: "look"}, Incident: inc, Attempt: 2},
	} {
		if err := notifier.Notify(t.Context(), n); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{
		`"msg":"notification","incident":"acme#7","activity":"StatusChange","recipients":["ada"],"attempt":1}`,
		`"msg":"notification","incident":"acme#7","reminder":"look","recipients":null,"attempt":2}`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	if len(tuned.Types) != 1 || tuned.Types[0] != incident.ActivityTypeStatusChange {
		t.Errorf("it gets %v", tuned.Types)
	}
}
