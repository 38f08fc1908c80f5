package events

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/incidentkit/incident"
)

func TestParseTimestamp(t *testing.T) {
	instant := time.Date(2015, 7, 17, 8, 42, 58, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2015-07-17T08:42:58Z":            instant,
		"2015-07-17T08:42:58.315+0000":    instant.Add(315 * time.Millisecond),
		"2015-07-17T08:42:58,315Z":        instant.Add(315 * time.Millisecond),
		"2015-07-17T10:42:58+02:00":       instant,
		"2015-07-17T10:42:58+0200":        instant,
		"2015-07-17T10:42:58+02":          instant,
		"2015-07-17T14:12:58.000000+0530": instant,
		"2015-07-17t08:42:58z":            instant,
		"2015-07-17 08:42:58Z":            instant,
		"2015-07-17 08:42:58 +0000":       instant,
		"2015-07-17 08:42:58 UTC":         instant,
		"2015-07-17T08:42Z":               instant.Add(-58 * time.Second),
		"2015-07-17T10:42+0200":           instant.Add(-58 * time.Second),
		"20150717T084258Z":                instant,
		"20150717T104258+0200":            instant,
		" 2015-07-17T08:42:58Z\n":         instant,
		"2015-07-17T08:42:58.123456789Z":  instant.Add(123456789),
		"2015-07-17T08:42:58":             {},
		"2015-07-17 08:42:58.5":           {},
		"2015-07-17T08:42":                {},
		"20150717T084258":                 {},
		"2015-07-17":                      {},
		"0001-01-01T00:00:00Z":            {}, // Go's zero time
	} {
		if got, err := parseTimestamp(text); err != nil || !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%q is read as %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "now", "1437122578", "2015-07-17T08:42:58+25:00", "2015-02-30T08:42:58Z", "2015-07-17T24:42:58Z", "08:42:58Z",
		"2015-07-17T08:42:58 Europe/Berlin", "17.07.2015", strings.Repeat("2", 65), "2015-07-17T08:42:58." + strings.Repeat("1", 60) + "Z",
	} {
		if got, err := parseTimestamp(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestHandler_describes(t *testing.T) {
	long := strings.Repeat("é", 3000)
	for name, c := range map[string]struct {
		event               fields
		labels, annotations map[string]string
		cut                 bool
	}{
		"nothing": {trigger("x", nil), nil, nil, false},
		"labels": {
			trigger("x", fields{"component": "postgres", "group": "prod\tdb", "class": "disk"}),
			map[string]string{"component": "postgres", "group": "prod\tdb", "class": "disk"},
			nil, false,
		},
		"numbers and null": {
			trigger("x", fields{"component": 7, "group": nil, "class": true}),
			map[string]string{"component": "7", "class": "true"},
			nil, false,
		},
		"unusable labels": {trigger("x", fields{"component": fields{}, "group": "\u200b"}), nil, nil, true},
		"client": {
			trigger("x", nil).with(fields{"client": "Probe", "client_url": "https://probe.example/7?a=b"}), nil,
			map[string]string{"client": "Probe", "client_url": "https://probe.example/7?a=b"},
			false,
		},
		"links": {
			trigger("x", nil).with(fields{"links": []any{
				fields{"href": "https://a.example/1", "text": "Runbook"},
				fields{"href": "http://a.example/2", "text": "Runbook"},
				fields{"href": "https://a.example/3"},
				fields{"href": "javascript:alert(1)", "text": "Bad"},
				fields{"href": "//a.example"},
				fields{"text": "No link"},
				"text",
				fields{"href": "https://a.example/" + strings.Repeat("x", 3000)},
			}}), nil,
			map[string]string{"Runbook": "https://a.example/1", "Runbook 2": "http://a.example/2", "link": "https://a.example/3"},
			true,
		},
		"credentials in links": {
			trigger("x", nil).with(fields{"client_url": "http://probe@a.example/", "links": []any{fields{"href": "https://ada:s3cr3t@a.example/1"}}}), nil,
			map[string]string{"client_url": "http://a.example/", "link": "https://a.example/1"},
			true,
		},
		"details with the name of the count": {
			trigger("x", fields{"custom_details": fields{"omitted": "7"}}), nil, map[string]string{"omitted 2": "7"}, false,
		},
		"images": {
			trigger("x", nil).with(fields{"images": []any{fields{"src": "https://a.example/1.png", "alt": "Load"}, fields{"src": "https://a.example/2.png"}}}), nil,
			map[string]string{"Load": "https://a.example/1.png", "image": "https://a.example/2.png"},
			false,
		},
		"links of no list": {trigger("x", nil).with(fields{"links": "none", "images": fields{}}), nil, nil, true},
		"details": {
			trigger("x", fields{"custom_details": fields{"load": 1.5, "hosts": []any{"a", fields{"b": 1}}, "note": "two\nlines", "none": nil, "": "a", "a\nb": "c"}}), nil,
			map[string]string{"load": "1.5", "hosts": `["a",{"b":1}]`, "note": "two\nlines", "unnamed": "a", "a b": "c"},
			false,
		},
		"details as text":   {trigger("x", fields{"custom_details": "all of them"}), nil, map[string]string{"custom_details": "all of them"}, false},
		"details as a list": {trigger("x", fields{"custom_details": []int{1, 2}}), nil, map[string]string{"custom_details": "[1,2]"}, false},
		"long texts": {
			trigger("x", fields{"component": long, "custom_details": fields{"note": long}}),
			map[string]string{"component": strings.Repeat("é", 510) + "…"},
			map[string]string{"note": strings.Repeat("é", 2046) + "…"},
			true,
		},
		"control characters": {trigger("x", fields{"custom_details": fields{"a\x00b": "c\x00\r\nd"}}), nil, map[string]string{"ab": "c\nd"}, true},
	} {
		w := newWorld(t, nil)
		w.mustPost(t, c.event)
		inc := w.only(t)
		labels := map[string]string{"source": "db-1"}
		maps.Copy(labels, c.labels)
		if !maps.Equal(inc.Labels, labels) || !maps.Equal(inc.Annotations, c.annotations) {
			t.Errorf("%s: labels %v, annotations %v, want %v, %v", name, inc.Labels, inc.Annotations, labels, c.annotations)
		}
		if got := w.Stats().Cut == 1; got != c.cut {
			t.Errorf("%s: cut is %t", name, got)
		}
	}
}

// More details than fit are left out, and counted. The first in order of name stay. Eight of the large
// details would leave no room for the count.
func TestHandler_omitsDetails(t *testing.T) {
	w := newWorld(t, nil)
	many, large := fields{}, fields{}
	for i := range 100 {
		name := string(rune('a'+i/26)) + string(rune('a'+i%26))
		many[name], large[name] = "1", strings.Repeat("x", maxAnnotation-2)
	}
	w.mustPost(t, trigger("many", fields{"custom_details": many}))
	w.pass(time.Minute)
	w.mustPost(t, trigger("large", fields{"custom_details": large}))
	list := w.list(t, "acme")
	if got := list[1].Annotations; len(got) != incident.MaxAnnotations || got["omitted"] != "37" || got["aa"] == "" || got["dv"] != "" {
		t.Errorf("of many details are left %v", got)
	}
	if got := list[0].Annotations; len(got) != 8 || got["omitted"] != "93" {
		t.Errorf("of large details are left %d, and %s are omitted", len(got), got["omitted"])
	}
}

func TestRoute_Slot(t *testing.T) {
	r := Route{OrganizationID: "acme", ProjectID: "checkout"}
	hashed := map[string]bool{
		"x": false, "disk full: db-1/ü": false, strings.Repeat("x", 255): false, strings.Repeat("x", 256): true, strings.Repeat("é", 128): true,
		"a\nb": true, "a\x00": true, "a\xff": true, "sha256:" + strings.Repeat("0", 64): true,
	}
	seen := map[incident.QueryID]bool{}
	for dedupKey, want := range hashed {
		slot := r.Slot(dedupKey)
		got := strings.HasPrefix(string(slot.QueryID), hashPrefix) && string(slot.QueryID) != dedupKey
		if got != want || seen[slot.QueryID] || slot.AlertRuleID != DefaultAlertRule {
			t.Errorf("%.20q has the slot %+v", dedupKey, slot)
		}
		seen[slot.QueryID] = true
	}
	w := newWorld(t, nil)
	for _, dedupKey := range slices.Sorted(maps.Keys(hashed)) {
		if got := w.mustPost(t, trigger(dedupKey, nil)); utf8.ValidString(dedupKey) && got != dedupKey {
			t.Errorf("the dedup_key %.20q is returned as %.20q", dedupKey, got)
		}
	}
	if _, active, err := w.incidents.Active(t.Context(), r.Slot(strings.Repeat("x", 256))); !active || err != nil {
		t.Errorf("Active() = %t, %v", active, err)
	}
}

// Any body is accepted or refused by this package: the Manager refuses nothing but dates, and an
// answer never has the routing key.
func FuzzHandler(f *testing.F) {
	head := `{"routing_key":"` + key + `","event_action":`
	for _, body := range []string{
		``, `{}`, `[]`, head + `"trigger"}`, head + `"resolve","dedup_key":"x"}`, head + `"acknowledge","dedup_key":"x","payload":{"timestamp":"2026-03-14"}}`,
		head + `"trigger","payload":{"summary":"a","source":"b","severity":"info"}}`,
		head + `"trigger","dedup_key":"\ud800\n","client":7,"client_url":"http://[","links":[{"href":"https://a/","text":"\u0000"},1],` +
			`"payload":{"summary":"\u202e x\u0007","source":{},"severity":"INFO","timestamp":"2026-03-14T02:31:00.5+0100","custom_details":{"a":{"b":[]},"":null,"\t":"x"}}}`,
	} {
		f.Add([]byte(body))
	}
	w := newWorld(f, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		got := w.postText(t, string(body))
		if got.code != 202 && got.code != 400 {
			t.Errorf("%q is answered %d %s", body, got.code, got.text)
		}
		if got.code == 400 && strings.Contains(got.text, key) {
			t.Errorf("the answer has the routing key: %s", got.text)
		}
		if w.log.Len() > 0 {
			t.Fatalf("%q is logged: %s", body, w.log.String())
		}
	})
}
