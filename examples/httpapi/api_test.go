package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// The API behaves the same over each store, and every described response occurs.
func TestAPI(t *testing.T) {
	scenarios := []struct {
		name string
		run  func(*world)
	}{
		{"list", testList},
		{"list in pages", testListPages},
		{"list of whom sees little", testListAccess},
		{"details", testDetails},
		{"update", testUpdate},
		{"if-match", testIfMatch},
		{"if-match of a compressing proxy", testIfMatchRewritten},
		{"if-match at the same time", testIfMatchRace},
		{"if-none-match", testIfNoneMatch},
		{"if-none-match at the same time", testIfNoneMatchRace},
		{"without expand", testUnexpanded},
		{"expand", testExpanded},
		{"expand refused", testExpandRefused},
		{"expand and the ETag", testExpandETag},
		{"seen", testSeen},
		{"activity", testActivity},
		{"comments", testComments},
		{"subscriptions", testSubscriptions},
		{"reminders", testReminders},
		{"parked", testParked},
		{"statuses of all", testStatuses},
		{"conflict", testConflict},
		{"methods and paths", testMethodsAndPaths},
		{"isolation", testIsolation},
		{"hostile bodies", testHostileBodies},
		{"hostile queries", testHostileQueries},
		{"hostile paths", testHostilePaths},
		{"hostile headers", testHostileHeaders},
		{"slow bodies", testSlowBodies},
		{"log", testLog},
	}
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			store, described := s.open(t), newSpec(t)
			for _, scenario := range scenarios {
				t.Run(scenario.name, func(t *testing.T) { scenario.run(newWorld(t, store, described)) })
			}
			if !t.Failed() && !filtered() {
				described.checkExercised(t)
			}
		})
	}
}

func testDetails(w *world) {
	key := w.fire(w.acme)
	got := w.want(200, "", "ada", "GET", incidentURL(key), "")
	d := decode[details](w, got)
	if d.Key() != key || d.Title != "Checkout fails" || d.Status != incident.StatusWarning || len(d.Triggers) != 1 ||
		!slices.Equal(d.Projects, []incident.ProjectID{"checkout"}) || d.HasSeen || d.IsSubscribed || len(d.Activities) != 3 {
		w.Errorf("the details are %+v", d)
	}
	for i, a := range d.Activities {
		if a.Sequence != int64(i)+1 {
			w.Errorf("activity %d is %+v", i, a)
		}
	}
	if got.header.Get("ETag") != `"1"` {
		w.Errorf("its ETag is %s", got.header.Get("ETag"))
	}
	// An empty list is [], and every member sees an incident without projects.
	bare := w.create(w.acme, "Bare")
	got = w.want(200, "", "eve", "GET", incidentURL(bare), "")
	for _, empty := range []string{`"projects":[]`, `"triggers":[]`, `"seenBy":[]`} {
		if !strings.Contains(got.body, empty) {
			w.Errorf("%s is not in %s", empty, got.body)
		}
	}
	w.want(200, "", "eve", "HEAD", incidentURL(bare), "")
}

func testUpdate(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key)
	before := w.snapshot()
	const (
		unchangeable = `{"detail":"Status cannot be changed."}`
		unknown      = `{"status":["Invalid value for status. Valid values: [1, 2, 10, 20]"]}`
	)
	for body, want := range map[string]string{
		`{"status":1}`:                    unchangeable,
		`{"status":10}`:                   unchangeable,
		`{"status":20,"comment":"no"}`:    unchangeable,
		`{"status":0}`:                    unknown,
		`{"status":3}`:                    unknown,
		`{"status":-1}`:                   unknown,
		`{"status":9223372036854775807}`:  unknown,
		`{}`:                              unknown,
		`{"status":null}`:                 unknown,
		`{"status":"2"}`:                  `{"status":["must be an integer"]}`,
		`{"status":2.0}`:                  `{"status":["must be an integer"]}`,
		`{"status":9223372036854775808}`:  `{"status":["must be an integer"]}`,
		`{"status":2,"comment":5}`:        `{"comment":["must be a string"]}`,
		`{"status":2,"comment":"\u0000"}`: `{"comment":["contains NUL at byte 0"]}`,
		`{"status":2,"status":2}`:         `{"status":["appears twice"]}`,
		`{"STATUS":2}`:                    `{"detail":"malformed: unknown field \"STATUS\""}`,
		`{"status":2,"<b>":1}`:            `{"detail":"malformed: unknown field \"\u003cb\u003e\""}`,
	} {
		w.want(400, want, "ada", "PUT", path, body)
	}
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
	got := w.want(200, "", "ada", "PUT", path, `{"status":2,"comment":"Rolled back <b>\u2028"}`, "Content-Type", `Application/JSON; charset="UTF-8"`)
	d := decode[details](w, got)
	last := d.Activities[len(d.Activities)-1]
	if d.Status != incident.StatusClosed || d.StatusMethod != incident.StatusMethodManual || d.DateClosed == nil || !d.IsSubscribed ||
		d.Triggers[0].Status != incident.TriggerStatusResolved || last.UserID != "ada" || last.Comment != "Rolled back <b>\u2028" ||
		last.PreviousValue != incident.StatusWarning || got.header.Get("ETag") != `"2"` {
		w.Errorf("closing returned %s", got.body)
	}
	if strings.ContainsAny(got.body, "<>\u2028") {
		w.Errorf("markup is not escaped: %s", got.body)
	}
	// Closing a closed incident changes nothing.
	before = w.snapshot()
	w.want(200, "", "grace", "PUT", path, `{"status":2,"comment":null}`)
	if after := w.snapshot(); after != before {
		w.Errorf("closing again changed\n%s\nto\n%s", after, before)
	}
}

// The flow of Sentry's own test: two users see an incident.
func testSeen(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key)
	seenBy := func(user string) (users []incident.UserID, hasSeen bool) {
		d := decode[details](w, w.want(200, "", user, "GET", path, ""))
		for _, s := range d.SeenBy {
			users = append(users, s.UserID)
		}
		return users, d.HasSeen
	}
	w.want(201, "{}", "grace", "POST", path+"seen/", "")
	if users, hasSeen := seenBy("ada"); !slices.Equal(users, []incident.UserID{"grace"}) || hasSeen {
		w.Errorf("seen by %v, by ada: %t", users, hasSeen)
	}
	w.want(201, "{}", "ada", "POST", path+"seen/", "")
	for _, user := range []string{"ada", "grace"} {
		if users, hasSeen := seenBy(user); !slices.Equal(users, []incident.UserID{"ada", "grace"}) || !hasSeen {
			w.Errorf("seen by %v, by %s: %t", users, user, hasSeen)
		}
	}
	w.want(201, "{}", "grace", "POST", path+"seen/", "")
	// A request that stores nothing reports nothing.
	w.want(403, "", "bob", "POST", path+"seen/", "")
	if users, hasSeen := seenBy("root"); !slices.Equal(users, []incident.UserID{"grace", "ada"}) || hasSeen {
		w.Errorf("seen by %v, by root: %t", users, hasSeen)
	}
}

func testActivity(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key) + "activity/"
	for range 4 {
		w.want(201, "", "ada", "POST", incidentURL(key)+"comments/", `{"comment":"x"}`)
	}
	for query, want := range map[string][]int64{
		"":                   {7, 6, 5, 4, 3, 2, 1},
		"?desc=1":            {7, 6, 5, 4, 3, 2, 1},
		"?desc=0":            {1, 2, 3, 4, 5, 6, 7},
		"?desc=0&per_page=3": {1, 2, 3, 4, 5, 6, 7},
		"?per_page=1":        {7, 6, 5, 4, 3, 2, 1},
	} {
		var got []int64
		for page := path + query; page != ""; {
			a := w.want(200, "", "ada", "GET", page, "")
			for _, activity := range decode[[]incident.Activity](w, a) {
				got = append(got, activity.Sequence)
			}
			page = follow(w, a, "next")
		}
		if !slices.Equal(got, want) {
			w.Errorf("activities %s: %v, want %v", query, got, want)
		}
	}
	next := follow(w, w.want(200, "", "ada", "GET", path+"?desc=0&per_page=3", ""), "next")
	w.want(400, `{"cursor":["is damaged, or belongs to another list; start again without one"]}`,
		"ada", "GET", strings.Replace(next, "desc=0", "desc=1", 1), "")
	for _, desc := range []string{"2", "true", "-1", "01"} {
		w.want(400, `{"desc":["must be 0 or 1"]}`, "ada", "GET", path+"?desc="+desc, "")
	}
}

func testComments(w *world) {
	key := w.fire(w.acme)
	comments := incidentURL(key) + "comments/"
	a := decode[incident.Activity](w, w.want(201, "", "ada", "POST", comments, `{"comment":"One\n\ttwo","mentions":["grace","grace"]}`))
	if a.Type != incident.ActivityTypeComment || a.UserID != "ada" || a.Comment != "One\n\ttwo" || a.Sequence != 4 {
		w.Errorf("the comment is %+v", a)
	}
	subscribers, err := w.incidents.Subscribers(w.Context(), key)
	if err != nil || len(subscribers) != 2 {
		w.Errorf("subscribers are %+v, %v", subscribers, err)
	}
	before := w.snapshot()
	w.want(400, `{"mentions":["must not name users who may not see the incident"]}`, "ada", "POST", comments, `{"comment":"x","mentions":["bob"]}`)
	w.want(400, `{"mentions":["must not name users who may not see the incident"]}`, "ada", "POST", comments, `{"comment":"x","mentions":["nobody"]}`)
	w.want(400, `{"mentions":["entry 1 is required"]}`, "ada", "POST", comments, `{"comment":"x","mentions":[null]}`)
	w.want(400, `{"comment":["is required"]}`, "ada", "POST", comments, `{"comment":null}`)
	w.want(400, `{"comment":["is required"]}`, "ada", "POST", comments, `{}`)
	w.want(400, `{"comment":["must not be blank"]}`, "ada", "POST", comments, `{"comment":" "}`)
	w.want(400, `{"comment":["has 65537 bytes, limit 65536"]}`, "ada", "POST", comments, `{"comment":"`+strings.Repeat("x", 65_537)+`"}`)

	one := comments + "4/"
	w.want(403, "", "grace", "PUT", one, `{"comment":"mine"}`)
	w.want(403, "", "root", "DELETE", one, "")
	w.want(400, `{"sequence":["does not name a comment; only comments can be changed"]}`, "ada", "PUT", comments+"1/", `{"comment":"x"}`)
	w.want(400, `{"sequence":["does not name a comment; only comments can be changed"]}`, "ada", "DELETE", comments+"1/", "")
	w.want(404, "", "ada", "PUT", comments+"5/", `{"comment":"x"}`)
	w.want(404, "", "ada", "DELETE", comments+"5/", "")
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}

	a = decode[incident.Activity](w, w.want(200, "", "ada", "PUT", one, `{"comment":"Three"}`))
	if a.Comment != "Three" || a.DateEdited == nil || a.Revision != 1 {
		w.Errorf("the edited comment is %+v", a)
	}
	for range 2 {
		w.want(204, "", "ada", "DELETE", one, "")
	}
	w.want(404, "", "ada", "PUT", one, `{"comment":"Four"}`)
	d := decode[details](w, w.want(200, "", "ada", "GET", incidentURL(key), ""))
	if last := d.Activities[3]; last.Comment != "" || last.DateDeleted == nil {
		w.Errorf("the deleted comment is %+v", last)
	}
	// The longest comment fits in the longest body, however it is escaped.
	w.want(201, "", "ada", "POST", comments, `{"comment":"`+strings.Repeat(`\u0078`, 65_536)+`"}`)
}

func testSubscriptions(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key) + "subscriptions/"
	subscribed := func() bool {
		return decode[details](w, w.want(200, "", "ada", "GET", incidentURL(key), "")).IsSubscribed
	}
	w.want(200, "{}", "ada", "DELETE", path, "")
	w.want(201, "{}", "ada", "POST", path, "")
	first := w.snapshot()
	w.want(201, "{}", "ada", "POST", path, "")
	if again := w.snapshot(); again != first || !subscribed() {
		w.Errorf("subscribing again changed it to\n%s\nfrom\n%s", again, first)
	}
	for range 2 {
		w.want(200, "{}", "ada", "DELETE", path, "")
		if subscribed() {
			w.Error("ada is still subscribed")
		}
	}
	before := w.snapshot()
	w.want(403, "", "bob", "POST", path, "")
	w.want(403, "", "bob", "DELETE", path, "")
	if w.snapshot() != before {
		w.Error("something was written for a user without access")
	}
}
