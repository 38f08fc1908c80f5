package alertmanager_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/alertmanager"
)

func TestOptions_Authenticate(t *testing.T) {
	w := newWorld(t, func(o *alertmanager.Options) {
		o.Organization, o.Tokens = "", nil
		o.Authenticate = func(r *http.Request) (incident.OrganizationID, error) {
			switch r.URL.Query().Get("tenant") {
			case "acme":
				return "acme", nil
			case "broken":
				return "", errors.New("no directory: " + token)
			case "none":
				return "", nil // no alert is lost by the faults of a host
			case "odd":
				return "a\nb", nil
			}
			return "", alertmanager.ErrUnauthorized
		}
	})
	for tenant, want := range map[string]int{"acme": 200, "broken": 503, "none": 503, "odd": 503, "other": 401} {
		r := request(webhook(firing("warning", 0)))
		r.URL.RawQuery = "tenant=" + tenant
		status, answer := w.do(r)
		if status != want || strings.Contains(answer, token) {
			t.Errorf("%s: status %d, want %d: %s", tenant, status, want, answer)
		}
	}
	w.want(warning)
}

func TestNew_refusesBadOptions(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alertmanager.New(nil, &alertmanager.Options{Organization: org, Tokens: []string{token}}); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("a nil Manager: %v", err)
	}
	if _, err := alertmanager.New(m, nil); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("nil Options: %v", err)
	}
	for name, change := range map[string]func(o *alertmanager.Options){
		"no organization": func(o *alertmanager.Options) { o.Organization = "" },
		"no credentials":  func(o *alertmanager.Options) { o.Tokens = nil },
		"empty token":     func(o *alertmanager.Options) { o.Tokens = []string{""} },
		"spaces":          func(o *alertmanager.Options) { o.Tokens = []string{"x "} },
		"no password":     func(o *alertmanager.Options) { o.Username = "x" },
		"no user":         func(o *alertmanager.Options) { o.Password = "x" },
		"colon":           func(o *alertmanager.Options) { o.Username, o.Password = "x:y", "z" },
		"both": func(o *alertmanager.Options) {
			o.Authenticate = func(*http.Request) (incident.OrganizationID, error) { return org, nil }
		},
		"odd organization":   func(o *alertmanager.Options) { o.Organization = "a\nb" },
		"long organization":  func(o *alertmanager.Options) { o.Organization = incident.OrganizationID(strings.Repeat("x", 256)) },
		"odd project":        func(o *alertmanager.Options) { o.Project = "a\xff" },
		"source":             func(o *alertmanager.Options) { o.Source = "a\nb" },
		"long source":        func(o *alertmanager.Options) { o.Source = strings.Repeat("x", 256) },
		"source hash":        func(o *alertmanager.Options) { o.Source = "#x" },
		"severity":           func(o *alertmanager.Options) { o.Severities = map[string]incident.Status{"x": closed} },
		"severity case":      func(o *alertmanager.Options) { o.Severities = map[string]incident.Status{"X": warning} },
		"other severity":     func(o *alertmanager.Options) { o.OtherSeverity = incident.StatusOpen },
		"negative body":      func(o *alertmanager.Options) { o.MaxBodySize = -1 },
		"negative timeout":   func(o *alertmanager.Options) { o.Timeout = -1 },
		"negative late":      func(o *alertmanager.Options) { o.LateDelivery = -1 },
		"negative reopening": func(o *alertmanager.Options) { o.ReopenWithin = -1 },
	} {
		o := &alertmanager.Options{Organization: org, Tokens: []string{token}}
		change(o)
		if _, err := alertmanager.New(m, o); !errors.Is(err, incident.ErrInvalid) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}
