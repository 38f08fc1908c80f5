package main

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// The fields of Sentry's API.
var (
	incidentFields = []string{
		"alertRule", "dateClosed", "dateCreated", "dateDetected", "dateStarted", "identifier", "organizationId", "projects", "query",
		"status", "statusMethod", "title", "type", "version",
	}
	detailsFields  = slices.Sorted(slices.Values(append([]string{"activities", "hasSeen", "isSubscribed", "seenBy", "triggers"}, incidentFields...)))
	activityFields = []string{
		"comment", "dateCreated", "dateDeleted", "dateEdited", "id", "incident", "notificationUuid", "revision", "type", "user",
	}
)

func fieldsOf(object map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(object)) }

// operated returns an incident that uses everything that Sentry's API does not have.
func (w *world) operated() incident.Key {
	w.Helper()
	ctx, key := w.Context(), w.create(w.acme, "Down", "checkout")
	original := w.create(w.acme, "Down before", "checkout")
	for _, act := range []func() (incident.Result, error){
		func() (incident.Result, error) {
			return w.incidents.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "ada"})
		},
		func() (incident.Result, error) {
			return w.incidents.Assign(ctx, key, incident.Assignment{UserID: "ada", Assignee: "grace"})
		},
		func() (incident.Result, error) {
			texts := map[string]string{"<b>": "x & y\u2028", "a": "1"}
			return w.incidents.Edit(ctx, key, incident.Edit{UserID: "ada", Title: "Up", Labels: texts, Annotations: texts})
		},
		func() (incident.Result, error) {
			return w.incidents.MarkDuplicate(ctx, key, incident.Duplicate{Of: original.Identifier, UserID: "ada"})
		},
	} {
		if r, err := act(); err != nil || !r.Changed {
			w.Fatalf("%+v, %v", r, err)
		}
	}
	return key
}

// A client of Sentry's API gets the fields and the types of activities that it knows.
func testUnexpanded(w *world) {
	key := w.operated()
	got := w.want(200, "", "ada", "GET", incidentURL(key), "")
	if fields := fieldsOf(decode[map[string]json.RawMessage](w, got)); !slices.Equal(fields, detailsFields) {
		w.Errorf("details have the fields %q", fields)
	}
	incidents := decode[[]map[string]json.RawMessage](w, w.want(200, "", "ada", "GET", list(w.acme), ""))
	for _, inc := range incidents {
		if fields := fieldsOf(inc); !slices.Equal(fields, incidentFields) {
			w.Errorf("an incident of the list has the fields %q", fields)
		}
	}
	activities := decode[[]map[string]json.RawMessage](w, w.want(200, "", "ada", "GET", incidentURL(key)+"activity/", ""))
	if len(incidents) != 2 || len(activities) != 3 {
		w.Errorf("%d incidents, %d activities", len(incidents), len(activities))
	}
	for _, a := range activities {
		fields := slices.DeleteFunc(fieldsOf(a), func(name string) bool { return name == "value" || name == "previousValue" })
		if kind, _ := strconv.Atoi(string(a["type"])); !slices.Equal(fields, activityFields) || kind > 4 {
			w.Errorf("an activity of type %s has the fields %q", a["type"], fields)
		}
	}
	if n := len(decode[details](w, got).Activities); n != len(activities) {
		w.Errorf("the details have %d activities: %s", n, got.body)
	}
}

// A client gets each part that it asks for, and no other.
func testExpanded(w *world) {
	key := w.operated()
	for _, expand := range []string{"response", "labels", "annotations", "duplicateOf", "labels,response", "response,labels,annotations,duplicateOf,history"} {
		names := slices.DeleteFunc(strings.Split(expand, ","), func(name string) bool { return name == "history" })
		for path, known := range map[string][]string{incidentURL(key): detailsFields, list(w.acme): incidentFields} {
			got := w.want(200, "", "ada", "GET", path+"?expand="+expand, "")
			object := got.body
			if strings.HasPrefix(object, "[") { // the incident was created first, and is the last of the list
				all := decode[[]json.RawMessage](w, got)
				object = string(all[len(all)-1])
			}
			fields := fieldsOf(decode[map[string]json.RawMessage](w, answer{body: object}))
			if want := slices.Sorted(slices.Values(append(names, known...))); !slices.Equal(fields, want) {
				w.Errorf("%s with %s has the fields %q, want %q", path, expand, fields, want)
			}
		}
	}
	got := decode[details](w, w.want(200, "", "ada", "GET", incidentURL(key)+"?expand=response,labels,annotations,duplicateOf,history", ""))
	stored, err := w.incidents.Details(w.Context(), key, "ada")
	if err != nil || got.Response.Assignee != "grace" || got.Response.AcknowledgedBy != "ada" ||
		!maps.Equal(got.Labels, stored.Labels) || !maps.Equal(got.Annotations, stored.Annotations) || got.DuplicateOf != stored.DuplicateOf {
		w.Errorf("the details are %+v, stored are %+v, %v", got.Incident, stored, err)
	}
	all, err := w.incidents.Activities(w.Context(), key, incident.ActivityFilter{})
	if err != nil || len(got.Activities) != len(all.Activities) || len(all.Activities) < 9 {
		w.Errorf("%d activities of %d, %v", len(got.Activities), len(all.Activities), err)
	}
	closed := w.want(200, "", "ada", "PUT", incidentURL(key)+"?expand=labels", `{"status":2}`)
	if d := decode[details](w, closed); len(d.Labels) != 2 || d.Response != nil {
		w.Errorf("closing returned %s", closed.body)
	}
}

// An unknown expansion is refused before anything is written.
func testExpandRefused(w *world) {
	key := w.fire(w.acme)
	before := w.snapshot()
	const unknown = `{"expand":["must name response, labels, annotations, duplicateOf or history, separated by commas"]}`
	for _, query := range []string{"all", "labels,", ",labels", "Labels", "labels%20", "labels%00", "labels%3Bresponse", "activities"} {
		for _, path := range []string{list(w.acme), incidentURL(key), incidentURL(key) + "activity/"} {
			w.want(400, unknown, "ada", "GET", path+"?expand="+query, "")
		}
		w.want(400, "", "ada", "PUT", incidentURL(key)+"?expand="+query, `{"status":2}`)
	}
	w.want(400, `{"expand":["must not be empty"]}`, "ada", "GET", incidentURL(key)+"?expand=", "")
	w.want(400, `{"expand":["must not be repeated"]}`, "ada", "GET", incidentURL(key)+"?expand=labels&expand=history", "")
	w.want(400, `{"detail":"malformed: unknown parameter \"expand\""}`, "ada", "POST", incidentURL(key)+"seen/?expand=labels", "")
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
}

// The ETag is that of the version in the body, with and without expansions.
func testExpandETag(w *world) {
	key := w.operated()
	for _, query := range []string{"", "?expand=labels", "?expand=response,labels,annotations,duplicateOf,history"} {
		got := w.want(200, "", "ada", "GET", incidentURL(key)+query, "")
		if tag := got.header.Get("ETag"); tag != etag(decode[details](w, got).Version) {
			w.Errorf("%q has the ETag %s, and the body is %s", query, tag, got.body)
		}
	}
	tag := w.want(200, "", "ada", "GET", incidentURL(key), "").header.Get("ETag")
	if _, err := w.incidents.Edit(w.Context(), key, incident.Edit{Labels: map[string]string{"a": "2"}}); err != nil {
		w.Fatal(err)
	}
	w.want(412, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-Match", tag)
	tag = w.want(200, "", "ada", "GET", incidentURL(key)+"?expand=labels", "").header.Get("ETag")
	w.want(200, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-Match", tag)
}

// logManager is a Manager of an incident with given activities. If grows is set, another activity is
// added before each read.
type logManager struct {
	incident.Manager
	types []incident.ActivityType
	grows bool
	reads int
}

func (l *logManager) Activities(_ context.Context, _ incident.Key, f incident.ActivityFilter) (incident.ActivityPage, error) {
	if l.reads++; l.grows {
		l.types = append(l.types, incident.ActivityTypeEdited)
	}
	var all []incident.Activity
	for i, kind := range l.types {
		all = append(all, incident.Activity{Sequence: int64(i) + 1, Type: kind, TriggerID: "x"})
	}
	if f.Descending {
		slices.Reverse(all)
	}
	if f.Cursor != "" {
		i := slices.IndexFunc(all, func(a incident.Activity) bool { return strconv.FormatInt(a.Sequence, 10) == f.Cursor })
		all = all[i+1:]
	}
	if f.Limit == 0 {
		f.Limit = incident.DefaultPageSize
	}
	if len(all) <= f.Limit {
		return incident.ActivityPage{Activities: all}, nil
	}
	return incident.ActivityPage{Activities: all[:f.Limit], Next: strconv.FormatInt(all[f.Limit-1].Sequence, 10)}, nil
}

// The pages have each activity that Sentry's API has once, in order, wherever the others are, and
// are full except for the last.
func TestExpand_pagesWithoutHistory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		log := &logManager{grows: r.IntN(3) == 0}
		a := &api{incidents: log}
		hidden := r.IntN(11)
		var want []int64
		for i := range r.IntN(300) {
			kind := incident.ActivityTypeComment
			if r.IntN(10) < hidden {
				kind = incident.ActivityTypeEdited
			} else {
				want = append(want, int64(i)+1)
			}
			log.types = append(log.types, kind)
		}
		f := incident.ActivityFilter{Descending: r.IntN(2) == 0, Limit: r.IntN(incident.MaxPageSize + 1)}
		if f.Descending {
			slices.Reverse(want)
		}
		limit := f.Limit
		if limit == 0 {
			limit = incident.DefaultPageSize
		}
		var got []int64
		for pages := 0; ; pages++ {
			reads := log.reads
			page, err := a.activities(t.Context(), incident.Key{}, f, expansions{})
			if err != nil || log.reads-reads > maxReads+1 || pages > len(log.types)+1 {
				t.Fatalf("page %d: %d reads, %v", pages, log.reads-reads, err)
			}
			for _, activity := range page.Activities {
				got = append(got, activity.Sequence)
				if activity.TriggerID != "" {
					t.Fatalf("an activity has its trigger: %+v", activity)
				}
			}
			if page.Next == "" {
				break
			}
			if len(page.Activities) != limit {
				t.Fatalf("page %d has %d activities, want %d", pages, len(page.Activities), limit)
			}
			f.Cursor = page.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("descending %t, limit %d, %v: got %v, want %v", f.Descending, f.Limit, log.types, got, want)
		}
	}
}

// Many activities of other types do not make a request read without end: a page is short then.
func TestExpand_boundsTheReads(t *testing.T) {
	log := &logManager{types: slices.Repeat([]incident.ActivityType{incident.ActivityTypeEdited}, 3*maxReads*incident.MaxPageSize)}
	log.types[0] = incident.ActivityTypeDetected
	a, f, found, pages := &api{incidents: log}, incident.ActivityFilter{Descending: true}, 0, 0
	for ; ; pages++ {
		reads := log.reads
		page, err := a.activities(t.Context(), incident.Key{}, f, expansions{})
		if err != nil || log.reads-reads > maxReads {
			t.Fatalf("%d reads, %v", log.reads-reads, err)
		}
		found += len(page.Activities)
		if f.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if found != 1 || pages < 2 || pages > 4 {
		t.Errorf("%d pages have %d activities", pages, found)
	}
}
