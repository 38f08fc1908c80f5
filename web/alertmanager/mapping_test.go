package alertmanager_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// labeled returns a firing of the labels.
func labeled(names labels) alert {
	a := firing("", 0)
	a["labels"] = names
	return a
}

func TestMapping_default(t *testing.T) {
	w := newWorld(t)
	w.post(firing("critical", 0))
	inc := w.list()[0]
	// The hash of the source, instance, a, service and checkout, each after its length. It must not
	// change: it names the slots of stored incidents.
	const query = "cf5ebc69b94f225e7a1cb9bdc96f76c5d5e3e8d4739a8bb97fe59329b450081a"
	want := incident.Incident{
		AlertRuleID: "Latency", QueryID: query, Projects: []incident.ProjectID{"checkout"}, Title: "Checkout is slow",
		Status: critical, Type: incident.TypeAlertTriggered,
	}
	if inc.AlertRuleID != want.AlertRuleID || inc.QueryID != want.QueryID || inc.Projects[0] != want.Projects[0] ||
		inc.Title != want.Title || inc.Type != want.Type || !inc.DateStarted.Equal(at(0)) {
		t.Errorf("incident is %+v, want %+v", inc, want)
	}
	if got, want := jsonOf(inc.Labels), `{"alert_source":"alertmanager","alertname":"Latency","instance":"a","service":"checkout","severity":"critical"}`; got != want {
		t.Errorf("labels are %s, want %s", got, want)
	}
	if got, want := jsonOf(inc.Annotations), `{"externalURL":"https://alertmanager.example.com",`+
		`"generatorURL":"https://prometheus.example.com/graph?g0.expr=x","summary":"Checkout is slow"}`; got != want {
		t.Errorf("annotations are %s, want %s", got, want)
	}
	triggers, err := w.manager.Triggers(t.Context(), inc.Key())
	if err != nil || len(triggers) != 1 || triggers[0].TriggerID != "critical" {
		t.Errorf("triggers are %+v, %v", triggers, err)
	}
}

// Label sets are one incident if and only if they differ in the severity alone.
func TestMapping_slots(t *testing.T) {
	same := [][2]labels{
		{{"alertname": "A", "severity": "warning"}, {"alertname": "A", "severity": "critical"}},
		{{"alertname": "A", "severity": "warning"}, {"alertname": "A"}},
		{{"alertname": "A", "empty": ""}, {"alertname": "A"}},
	}
	different := [][2]labels{
		{{"alertname": "A", "a": "b"}, {"alertname": "A", "a": "c"}},
		{{"alertname": "A", "a": "bc"}, {"alertname": "A", "ab": "c"}},
		{{"alertname": "A", "a": "1", "b": "2"}, {"alertname": "A", "a": "1b2"}},
		{{"alertname": "A", "service": "alerts"}, {"alertname": "A"}},
		{{"alertname": "A"}, {"alertname": "a"}},
		{{"alertname": strings.Repeat("é", 400) + "1"}, {"alertname": strings.Repeat("é", 400) + "2"}},
		{{"alertname": "A\n"}, {"alertname": "A\t"}},
		{{"alertname": "A", "service": strings.Repeat("s", 256)}, {"alertname": "A", "service": strings.Repeat("s", 257)}},
		{{"alertname": "\x00"}, {"alertname": "#6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"}},
	}
	for _, pair := range same {
		w := newWorld(t)
		w.post(labeled(pair[0]), labeled(pair[1]))
		if got := len(w.list()); got != 1 {
			t.Errorf("%v make %d incidents, want 1\n%s", pair, got, w.log)
		}
	}
	for _, pair := range different {
		w := newWorld(t)
		w.post(labeled(pair[0]), labeled(pair[1]))
		if got := len(w.list()); got != 2 {
			t.Errorf("%v make %d incidents, want 2\n%s", pair, got, w.log)
		}
	}
}

// An alert without a severity and an alert with any severity are different triggers.
func TestMapping_severities(t *testing.T) {
	for severity, want := range map[string]incident.Status{
		"": warning, "#none": warning, "warning": warning, "critical": critical, "CRITICAL": critical, "page": critical,
		"info": warning, strings.Repeat("x", 1000): warning, "critical\n": warning,
	} {
		w := newWorld(t)
		w.post(firing(severity, 0))
		w.want(want)
		if severity != "" {
			w.post(labeled(labels{"alertname": "Latency", "service": "checkout", "instance": "a"}))
			triggers, err := w.manager.Triggers(t.Context(), w.list()[0].Key())
			if err != nil || len(triggers) != 2 {
				t.Errorf("severity %.20q: triggers are %+v, %v, want 2", severity, triggers, err)
			}
		}
	}
	w := newWorld(t, func(o *alertmanager.Options) {
		o.Severities, o.OtherSeverity, o.SeverityLabel = map[string]incident.Status{"low": warning}, critical, "level"
	})
	low := labeled(labels{"alertname": "Low", "level": "low", "severity": "critical"})
	w.post(low, labeled(labels{"alertname": "Other", "level": "odd"}))
	for _, inc := range w.list() {
		if want := map[incident.AlertRuleID]incident.Status{"Low": warning, "Other": critical}[inc.AlertRuleID]; inc.Status != want {
			t.Errorf("%s is %v, want %v", inc.AlertRuleID, inc.Status, want)
		}
	}
}

func TestMapping_titlesAreNormalized(t *testing.T) {
	for _, c := range []struct{ summary, want string }{
		{"", "Latency"},
		{" \t\u200b\n", "Latency"},
		{"Down\r\nin\x00 the\x1b[31m dark", "Down in the [31m dark"},
		{"abc\u202etxt.exe\u202c", "abctxt.exe"},
		{"\u2066\u202e\u2069", "Latency"},
		{strings.Repeat("é", 1500), strings.Repeat("é", 999) + "…"},
		{"<script>alert(1)</script>", "<script>alert(1)</script>"},
		{"مرحبا \u200fabc", "مرحبا \u200fabc"},
	} {
		w := newWorld(t)
		a := firing("warning", 0)
		a["annotations"] = labels{"summary": c.summary}
		w.post(a)
		if got := w.list()[0].Title; got != c.want {
			t.Errorf("summary %.40q makes the title %.40q, want %.40q", c.summary, got, c.want)
		}
	}
}

// What has no room, or no form that an incident accepts, is left out.
func TestMapping_contents(t *testing.T) {
	w := newWorld(t)
	names := labels{"alertname": "Latency", "severity": "warning", "service": "checkout", "alert_source": "forged", "long": strings.Repeat("é", 3000)}
	notes := labels{"summary": "s", "odd\nname": "x", "description": strings.Repeat("d", 100_000)}
	for i := range 100 {
		names[fmt.Sprintf("label_%02d", i)] = strings.Repeat("v", 100)
		notes[fmt.Sprintf("note_%02d", i)] = strings.Repeat("v", 1000)
	}
	a := labeled(names)
	a["annotations"] = notes
	w.post(a)
	inc := w.list()[0]
	for name, want := range (labels{"alert_source": "alertmanager", "alertname": "Latency", "severity": "warning", "service": "checkout"}) {
		if inc.Labels[name] != want {
			t.Errorf("label %s is %q, want %q", name, inc.Labels[name], want)
		}
	}
	if len(inc.Labels) != incident.MaxLabels || len(inc.Annotations["description"]) > 8<<10 || inc.Annotations["summary"] != "s" {
		t.Errorf("%d labels, %d bytes of description", len(inc.Labels), len(inc.Annotations["description"]))
	}
}

func TestMapping_linksAreHTTP(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example/x?y=z#f":            "https://a.example/x?y=z#f",
		" http://a.example ":                   "http://a.example",
		"https://ada:secret@a.example/x":       "https://a.example/x",
		"javascript:alert(1)":                  "",
		"JavaScript://a.example/%0aalert":      "",
		"data:text/html,<script>":              "",
		"//a.example/x":                        "",
		"/relative":                            "",
		"https://":                             "",
		"https://a.example/\nx":                "",
		"https://" + strings.Repeat("a", 3000): "",
	} {
		w := newWorld(t)
		a := firing("warning", 0)
		a["generatorURL"], a["dashboardURL"], a["panelURL"], a["silenceURL"] = text, text, text, text
		a["annotations"] = labels{"runbook_url": text, "summary": "x"}
		w.post(a)
		got := w.list()[0].Annotations
		for _, name := range []string{"generatorURL", "dashboardURL", "panelURL", "silenceURL", "runbook_url"} {
			if got[name] != want {
				t.Errorf("%.40q as %s becomes %q, want %q", text, name, got[name], want)
			}
		}
	}
}

// A name that no label can have costs the label, and not the alert.
func TestMapping_oddNames(t *testing.T) {
	long := strings.Repeat("x", incident.MaxIDSize)
	for _, name := range []string{"\x01", "#\x01", "#\n", long + "x", "#" + long, "\u0085", "#\u0085"} {
		w := newWorld(t)
		a := labeled(labels{"alertname": "Latency", name: "v"})
		a["annotations"] = labels{"summary": "Slow", name: "v"}
		w.post(a)
		w.want(warning)
		inc := w.list()[0]
		if inc.Labels[name] != "" || inc.Annotations[name] != "" || inc.Annotations["summary"] != "Slow" {
			t.Errorf("%q: labels %q, annotations %q", name, inc.Labels, inc.Annotations)
		}
	}
}

func TestOptions_Map(t *testing.T) {
	w := newWorld(t, func(o *alertmanager.Options) {
		o.Map = func(a *alertmanager.Alert, f *incident.Firing) error {
			switch a.Labels["alertname"] {
			case "Watchdog":
				return alertmanager.ErrSkip
			case "Odd":
				return errors.New("is odd")
			case "Panic":
				panic("boom")
			}
			f.AlertRuleID, f.OrganizationID, f.Labels = "rule", "other", nil
			return nil
		}
	})
	for _, name := range []string{"Watchdog", "Odd", "Panic", "", "Latency"} {
		w.post(labeled(labels{"alertname": name}))
	}
	all := w.list()
	if len(all) != 1 || all[0].AlertRuleID != "rule" || all[0].Labels["alert_source"] != "alertmanager" {
		t.Errorf("incidents are %+v", all)
	}
	if got := w.handler.Stats(); got.Skipped != 1 || got.Unusable != 2 {
		t.Errorf("counted %+v", got)
	}
}

func TestOptions_sourcesAreApart(t *testing.T) {
	w := newWorld(t)
	other, err := alertmanager.New(w.manager, &alertmanager.Options{Organization: org, Tokens: []string{token}, ProjectLabel: "service", Source: "grafana"})
	if err != nil {
		t.Fatal(err)
	}
	w.post(firing("warning", 0))
	w.handler = other
	w.post(firing("warning", 0))
	w.want(warning, warning)
	w.post(resolved("warning", 0, 10))
	w.want(warning, closed)
}
