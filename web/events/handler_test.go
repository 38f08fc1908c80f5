package events

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/incidentkit/incident"
)

// secret is a value in each refused event that no answer and no log may contain.
const secret = "s3cr3t-value"

func TestHandler_refusesInvalidEvents(t *testing.T) {
	w := newWorld(t, nil)
	valid := trigger(secret, fields{"component": secret, "custom_details": fields{secret: secret}})
	payloadOf := func(more fields) fields {
		return valid.with(fields{"payload": described(fields{"component": secret}).with(more)})
	}
	for name, c := range map[string]struct {
		event  fields
		errors []string
	}{
		"no routing key":           {valid.with(fields{"routing_key": nil}), []string{"'routing_key' is unknown"}},
		"an unknown routing key":   {valid.with(fields{"routing_key": secret + key}), []string{"'routing_key' is unknown"}},
		"a part of a routing key":  {valid.with(fields{"routing_key": key[:31]}), []string{"'routing_key' is unknown"}},
		"a list of keys":           {valid.with(fields{"routing_key": []string{key}}), []string{"'routing_key' is unknown"}},
		"a key in capitals":        {valid.with(fields{"routing_key": strings.ToUpper(key)}), []string{"'routing_key' is unknown"}},
		"only the key":             {fields{"routing_key": key}, []string{"'event_action' is missing or blank", "'dedup_key' is missing or blank"}},
		"another action":           {valid.with(fields{"event_action": secret}), []string{"'event_action' must be trigger, acknowledge or resolve"}},
		"an action that is none":   {valid.with(fields{"event_action": fields{}}), []string{"'event_action' must be a string"}},
		"no payload":               {valid.with(fields{"payload": nil}), []string{"'payload' is missing"}},
		"a payload that is text":   {valid.with(fields{"payload": secret}), []string{"'payload' must be an object"}},
		"no summary":               {payloadOf(fields{"summary": nil}), []string{"'payload.summary' is missing or blank"}},
		"a blank summary":          {payloadOf(fields{"summary": " \t"}), []string{"'payload.summary' is missing or blank"}},
		"an invisible summary":     {payloadOf(fields{"summary": "\u200b\u202e\x00"}), []string{"'payload.summary' has no visible character"}},
		"a summary that is a list": {payloadOf(fields{"summary": []string{secret}}), []string{"'payload.summary' must be a string"}},
		"no source":                {payloadOf(fields{"source": ""}), []string{"'payload.source' is missing or blank"}},
		"an unknown severity":      {payloadOf(fields{"severity": secret}), []string{"'payload.severity' must be critical, error, warning or info"}},
		"a timestamp of no form":   {payloadOf(fields{"timestamp": secret}), []string{"'payload.timestamp' " + errTimestamp.Error()}},
		"a timestamp as a number":  {payloadOf(fields{"timestamp": 1773455460}), []string{"'payload.timestamp' " + errTimestamp.Error()}},
		"a timestamp of 1969":      {payloadOf(fields{"timestamp": "1969-12-31T00:00:00Z"}), []string{"'payload.timestamp' must be in the years 1970 to 9999"}},
		"a timestamp of 2030":      {payloadOf(fields{"timestamp": "2030-01-01T00:00:00Z"}), []string{"'payload.timestamp' must not be more than 24h0m0s in the future"}},
		"a resolve without a key":  {ofAction("resolve", ""), []string{"'dedup_key' is missing or blank"}},
		"an acknowledge without":   {ofAction("acknowledge", ""), []string{"'dedup_key' is missing or blank"}},
		"a dedup key that is none": {valid.with(fields{"dedup_key": fields{}}), []string{"'dedup_key' must be a string"}},
		"several": {payloadOf(fields{"summary": "", "source": nil, "severity": 7}), []string{
			"'payload.summary' is missing or blank", "'payload.source' is missing or blank", "'payload.severity' must be critical, error, warning or info",
		}},
	} {
		got := w.post(t, c.event)
		if want := (answer{Status: "invalid event", Message: "Event object is invalid", Errors: c.errors}); got.code != 400 || !reflect.DeepEqual(got.answer, want) {
			t.Errorf("%s: got %d %s, want 400 %+v", name, got.code, got.text, want)
		}
		if strings.Contains(got.text, secret) || strings.Contains(got.text, key) {
			t.Errorf("%s: the answer has a value of the event: %s", name, got.text)
		}
	}
	if list := w.list(t, "acme"); len(list) != 0 {
		t.Errorf("refused events wrote %+v", list)
	}
	if w.log.Len() != 0 {
		t.Errorf("refused events are logged: %s", w.log.String())
	}
	if s := w.Stats(); s.UnknownKey != 5 || s.Invalid != 19 || s.Failed != 0 {
		t.Errorf("Stats() = %+v, want 5 unknown keys and 19 invalid events", s)
	}
}

func TestHandler_refusesOtherBodies(t *testing.T) {
	w := newWorld(t, nil)
	for name, body := range map[string]string{
		"nothing": "", "space": " \n", "text": "hello", "a list": "[]", "null": "null", "half": `{"routing_key":"` + key, "two": "{}{}",
		"deep": `{"payload":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}", "a form": "payload=%7B%7D",
	} {
		got := w.postText(t, body)
		if got.code != 400 || !reflect.DeepEqual(got.Errors, []string{errNoObject.Error()}) {
			t.Errorf("%s: got %d %s", name, got.code, got.text)
		}
	}
	if got := w.post(t, trigger("x", fields{"custom_details": strings.Repeat("x", DefaultMaxBodySize)})); got.code != 413 || got.Status != "error" {
		t.Errorf("too large: got %d %s", got.code, got.text)
	}
	for _, c := range []struct {
		err  error
		want int
	}{{os.ErrDeadlineExceeded, 408}, {io.ErrUnexpectedEOF, 400}} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", iotest.ErrReader(c.err))
		if got := w.send(t, r); got.code != c.want {
			t.Errorf("%v: got %d %s", c.err, got.code, got.text)
		}
	}
}

func TestHandler_answersByMethodPathAndMediaType(t *testing.T) {
	w := newWorld(t, nil)
	const body = `{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"x"}`
	for name, c := range map[string]struct {
		method, path, media, encoding string
		want                          int
	}{
		"PagerDuty's path":     {"POST", "/v2/enqueue", "application/json", "", 202},
		"a slash at the end":   {"POST", "/v2/enqueue/", "application/json", "", 202},
		"below a mount":        {"POST", "/events/v2/enqueue", "application/json", "", 202},
		"the root of a mount":  {"POST", "/", "application/json", "", 202},
		"change events":        {"POST", "/v2/change/enqueue", "application/json", "", 404},
		"another path":         {"POST", "/metrics", "application/json", "", 404},
		"no media type":        {"POST", "/", "", "", 202},
		"a charset":            {"POST", "/", "application/json; charset=UTF-8", "", 202},
		"a careless charset":   {"POST", "/", "application/json;charset=UTF8", "", 202},
		"another charset":      {"POST", "/", "application/json; charset=latin1", "", 415},
		"text":                 {"POST", "/", "text/plain", "", 202},
		"as curl -d":           {"POST", "/", "application/x-www-form-urlencoded", "", 202},
		"JSON of a kind":       {"POST", "/", "application/vnd.pagerduty+json", "", 202},
		"an upload":            {"POST", "/", "multipart/form-data; boundary=x", "", 415},
		"an image":             {"POST", "/", "image/png", "", 415},
		"a broken media type":  {"POST", "/", "application/json; =", "", 415},
		"compressed":           {"POST", "/", "application/json", "gzip", 415},
		"not compressed":       {"POST", "/", "application/json", "identity", 202},
		"GET":                  {"GET", "/", "application/json", "", 405},
		"PUT":                  {"PUT", "/v2/enqueue", "application/json", "", 405},
		"GET of another thing": {"GET", "/favicon.ico", "", "", 404},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(body))
		r.Header.Set("Content-Type", c.media)
		r.Header.Set("Content-Encoding", c.encoding)
		got := w.send(t, r)
		if got.code != c.want || got.header.Get("Cache-Control") != "no-store" || (c.want == 405) != (got.header.Get("Allow") == "POST") {
			t.Errorf("%s: got %d %s with %v", name, got.code, got.text, got.header)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", strings.NewReader(body))
	recorder := httptest.NewRecorder()
	if http.StripPrefix("/events", w).ServeHTTP(recorder, r); recorder.Code != 202 {
		t.Errorf("the empty path below a mount: got %d", recorder.Code)
	}
}

// Further events than permitted at a time are answered 429, and not written. Unknown keys take no
// permits.
func TestHandler_limitsEventsInProgress(t *testing.T) {
	w := newWorld(t, func(o *Options, _ *incident.Options) { o.MaxInProgress = 1 })
	w.permits <- struct{}{} // an event in progress
	if got := w.post(t, trigger("x", nil)); got.code != 429 || got.header.Get("Retry-After") != "1" || got.Status != "throttle exceeded" {
		t.Errorf("got %d %s", got.code, got.text)
	}
	if got := w.post(t, trigger("x", nil).with(fields{"routing_key": "x"})); got.code != 400 {
		t.Errorf("with an unknown key: got %d %s", got.code, got.text)
	}
	<-w.permits
	w.mustPost(t, trigger("x", nil))
	w.mustPost(t, trigger("x", nil)) // the permit was returned
	if s := w.Stats(); s.Limited != 1 || s.Triggered != 1 || s.Unchanged != 1 {
		t.Errorf("Stats() = %+v", s)
	}
}

func TestNew_validatesOptions(t *testing.T) {
	route := Route{Key: key, OrganizationID: "acme", ProjectID: "checkout"}
	changed := func(change func(*Route)) *Options {
		r := route
		change(&r)
		return &Options{Routes: []Route{route, r}}
	}
	w := newWorld(t, nil)
	for want, o := range map[string]*Options{
		"events: Options.Routes has no route":                                         {},
		"events: MaxBodySize and MaxInProgress must not be negative":                  {MaxBodySize: -1},
		"events: User has 256 bytes, limit 255":                                       {User: incident.UserID(strings.Repeat("x", 256))},
		"events: routes 1 and 2 have the same key":                                    changed(func(*Route) {}),
		"events: route 2: Key has 15 bytes, want at least 16; use NewKey":             changed(func(r *Route) { r.Key = key[:15] }),
		"events: route 2: OrganizationID is required":                                 changed(func(r *Route) { r.OrganizationID = "" }),
		"events: route 2: ProjectID is required":                                      changed(func(r *Route) { r.ProjectID = "" }),
		"events: route 2: identifiers have a limit of 255 bytes":                      changed(func(r *Route) { r.AlertRuleID = incident.AlertRuleID(strings.Repeat("x", 256)) }),
		"events: User must be valid UTF-8 without control characters":                 {User: "a\nb"},
		"events: route 2: identifiers must be valid UTF-8 without control characters": changed(func(r *Route) { r.OrganizationID = "a\x00b" }),
		"events: route 2: ReopenWithin must not be negative":                          changed(func(r *Route) { r.ReopenWithin = -1 }),
	} {
		if _, err := New(w.incidents, o); err == nil || err.Error() != want {
			t.Errorf("New() = %v, want %s", err, want)
		}
	}
	if _, err := New(w.incidents, nil); err == nil {
		t.Error("New accepts no options")
	}
	if _, err := New(nil, &Options{Routes: []Route{route}}); err == nil {
		t.Error("New accepts no Manager")
	}
	if a, b := NewKey(), NewKey(); len(a) != 32 || a == b {
		t.Errorf("new keys are %s and %s", a, b)
	}
}

// Each error of the store has its status: those that a repetition helps against are 5xx, and nothing
// of the error is sent.
func TestHandler_answersErrorsOfTheStore(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		code  int
		retry string
	}{
		"unavailable":     {incident.ErrUnavailable, 503, "1"},
		"unknown outcome": {incident.ErrUnknownOutcome, 500, ""},
		"conflict":        {incident.ErrVersionConflict, 503, "1"},
		"another":         {errors.New(secret), 500, ""},
	} {
		w := newWorld(t, nil)
		w.mustPost(t, trigger("active", nil))
		for _, e := range []fields{trigger("x", nil), ofAction("acknowledge", "active"), ofAction("resolve", "active")} {
			w.store.fault = c.fault
			got := w.post(t, e)
			if got.code != c.code || got.header.Get("Retry-After") != c.retry || got.Status != "error" || strings.Contains(got.text, secret) {
				t.Errorf("%s: %s is answered %d %s", name, e["event_action"], got.code, got.text)
			}
			w.store.fault = nil
			w.mustPost(t, e) // a repetition helps
		}
		if log := w.log.String(); strings.Count(log, "an event was not written") != 3 || strings.Contains(log, key) {
			t.Errorf("%s: the log is %s", name, log)
		}
		if s := w.Stats(); s.Failed != 3 || s.Invalid != 0 {
			t.Errorf("%s: Stats() = %+v", name, s)
		}
	}
}

// A Handler has no routing key in it.
func TestHandler_keepsNoKey(t *testing.T) {
	w := newWorld(t, nil)
	w.mustPost(t, trigger("x", nil))
	if text := fmt.Sprintf("%+v %#v", w.Handler, w.routes); strings.Contains(text, key) || strings.Contains(text, rawKey) {
		t.Errorf("it has a routing key: %s", text)
	}
}

func TestHandler_answersDeniedUsers(t *testing.T) {
	w := newWorld(t, func(o *Options, _ *incident.Options) { o.User = "pager" })
	w.mustPost(t, trigger("x", nil))
	w.Handler.manager = denying{w.incidents}
	if got := w.post(t, ofAction("acknowledge", "x")); got.code != 403 {
		t.Errorf("got %d %s, want 403", got.code, got.text)
	}
}
