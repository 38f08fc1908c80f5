package alertmanager_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/incidentkit/incident/web/alertmanager"
)

const apiAlert = `{"annotations":{},"endsAt":"2026-03-14T02:40:00.000Z","fingerprint":"x","receivers":[{"name":"incidents"}],` +
	`"startsAt":"2026-03-14T02:00:00.000Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":["y"],"state":"suppressed"},` +
	`"updatedAt":"2026-03-14T02:36:00.000Z","labels":{"alertname":"Latency","severity":"warning"}}`

// apiOf returns an API whose peers answer with handlers.
func apiOf(t *testing.T, peers ...http.HandlerFunc) *alertmanager.API {
	t.Helper()
	var api alertmanager.API
	for _, peer := range peers {
		server := httptest.NewServer(peer)
		t.Cleanup(server.Close)
		api.URLs = append(api.URLs, server.URL+"/prefix/")
	}
	return &api
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/prefix/api/v2/alerts" || r.URL.RawQuery != "" {
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestAPI_joinsThePeers(t *testing.T) {
	api := apiOf(t, answering(200, `[]`), answering(200, `[`+apiAlert+`]`))
	alerts, err := api.Alerts(t.Context())
	if err != nil || len(alerts) != 1 {
		t.Fatalf("alerts are %v, %v", alerts, err)
	}
	if a := alerts[0]; a.Status != "firing" || a.Labels["alertname"] != "Latency" || !a.StartsAt.Equal(at(0)) || !a.EndsAt.Equal(at(40)) {
		t.Errorf("alert is %+v", a)
	}
}

// Any answer that is not a whole list of alerts is an error, without its text.
func TestAPI_refusesWhatIsNoList(t *testing.T) {
	whole := answering(200, `[`+apiAlert+`]`)
	for name, peer := range map[string]http.HandlerFunc{
		"error":    answering(500, `secret`),
		"no route": answering(404, `[]`),
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"page":     answering(200, `<html>secret</html>`),
		"empty":    answering(200, ``),
		"null":     answering(200, `null`),
		"object":   answering(200, `{"status":"success","data":[]}`),
		"cut":      answering(200, `[`+apiAlert+`,`),
		"cut body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`[` + apiAlert + `]`))
		},
		"two lists":   answering(200, `[] []`),
		"odd alert":   answering(200, `[`+apiAlert+`,7]`),
		"no labels":   answering(200, `[{"startsAt":"2026-03-14T02:00:00.000Z"}]`),
		"null labels": answering(200, `[{"labels":null}]`),
		"odd date":    answering(200, `[{"labels":{"a":"secret"},"startsAt":"secret"}]`),
		"large":       answering(200, `[]`+strings.Repeat(" ", 2000)),
	} {
		api := apiOf(t, whole, peer)
		api.MaxSize = 1000
		alerts, err := api.Alerts(t.Context())
		if err == nil || alerts != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v, want an error", name, alerts, err)
		}
	}
}

func TestAPI_refusesBadURLs(t *testing.T) {
	for _, url := range []string{"", "alertmanager:9093", "ftp://x", "http://x?filter=a", "http://x#y", "http://", "http://a b"} {
		api := &alertmanager.API{URLs: []string{url}}
		if _, err := api.Alerts(t.Context()); err == nil {
			t.Errorf("%q was accepted", url)
		}
	}
	if _, err := new(alertmanager.API).Alerts(t.Context()); err == nil {
		t.Error("no URLs were accepted")
	}
}

func TestAPI_Prepare(t *testing.T) {
	api := apiOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer x" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`[]`))
	})
	api.Prepare = func(r *http.Request) error { r.Header.Set("Authorization", "Bearer x"); return nil }
	if _, err := api.Alerts(t.Context()); err != nil {
		t.Error(err)
	}
	api.Prepare = func(r *http.Request) error { r.URL.RawQuery = "silenced=false"; return nil }
	if _, err := api.Alerts(t.Context()); err == nil {
		t.Error("a filter was accepted")
	}
	api.Prepare = func(*http.Request) error { return errors.New("no token") }
	if _, err := api.Alerts(t.Context()); err == nil {
		t.Error("a failed Prepare was ignored")
	}
}
