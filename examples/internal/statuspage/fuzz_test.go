package statuspage

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/incidentkit/incident"
)

// Every file is either imported, or refused without a trace. Each fault is a single
// printable line. A second import of the file adds nothing. A strict import either refuses
// the file or does the same.
func FuzzDecode(f *testing.F) {
	data, err := os.ReadFile(sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(good))
	for _, file := range hostileFiles() {
		f.Add([]byte(file.data))
	}
	for _, file := range realFiles() {
		f.Add([]byte(file.data))
	}
	for _, file := range days {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		past, err := Options{}.decode("f.json", data)
		if err != nil {
			checkRefusal(t, err)
			if _, err := (Options{Strict: true}).decode("f.json", data); err == nil {
				t.Error("a strict import accepts the file")
			}
			return
		}
		if !slices.IsSortedFunc(past.incidents, func(a, b pastIncident) int { return a.started.Compare(b.started) }) {
			t.Error("incidents are not in order of start")
		}
		incidents := newManager(t)
		added, err := Import(t.Context(), incidents, past, func(int) {})
		if _, ok := errors.AsType[*LeftOut](err); err != nil && !ok {
			checkRefusal(t, err)
			return
		}
		checkFaults(t, err)
		page, listErr := incidents.List(t.Context(), incident.IncidentFilter{OrganizationID: "p", Limit: 1})
		if past.Page == "p" && (listErr != nil || len(page.Incidents) != min(added.newIncidents, 1)) {
			t.Errorf("imported %d incidents, and the Manager lists %d, %v", added.newIncidents, len(page.Incidents), listErr)
		}
		before := snapshot(t, incidents, past.Page)
		again, againErr := Import(t.Context(), incidents, past, func(int) {})
		if again.newIncidents+again.newUpdates+again.closed+again.reopened+again.linked > 0 || !reflect.DeepEqual(snapshot(t, incidents, past.Page), before) {
			t.Errorf("a second import added %v", again)
		}
		if (err == nil) != (againErr == nil) || err != nil && err.Error() != againErr.Error() {
			t.Errorf("a second import returned %v, want %v", againErr, err)
		}
		checkStrict(t, data, past.Page, err, before)
	})
}

// checkStrict compares a strict import of the file with a lenient import.
func checkStrict(t *testing.T, data []byte, page incident.OrganizationID, lenient error, want []stored) {
	t.Helper()
	incidents := newManager(t)
	past, err := Options{Strict: true}.decode("f.json", data)
	if err == nil {
		_, err = Import(t.Context(), incidents, past, func(int) {})
	}
	got := snapshot(t, incidents, page)
	if err != nil {
		checkRefusal(t, err)
		want = nil
	}
	if lenient != nil && err == nil || len(got) != len(want) {
		t.Errorf("a strict import returned %v with %d incidents, and a lenient import %v", err, len(got), lenient)
	}
}

func checkFaults(t *testing.T, err error) {
	t.Helper()
	leftOut, ok := errors.AsType[*LeftOut](err)
	if !ok {
		return
	}
	if len(leftOut.Faults) == 0 || len(leftOut.Faults) > maxFaults || leftOut.More > 0 && len(leftOut.Faults) < maxFaults {
		t.Errorf("%d records are left out, and %d faults are listed", leftOut.Len(), len(leftOut.Faults))
	}
	for _, fault := range leftOut.Faults {
		checkRefusal(t, fault)
	}
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if !strings.HasPrefix(text, "f.json:") || len(text) > 1000 || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("error %q is not a short line with a position", text)
	}
}
