package alertmanager_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/alertmanager"
)

// Any answer of an Alertmanager is a list of alerts with labels, or an error.
func FuzzDecodeAlerts(f *testing.F) {
	for _, body := range []string{`[]`, `[` + apiAlert + `]`, `null`, `[{"labels":{"a":"b"},"endsAt":null}]`, `[{"labels":{"a":""}}]`, `[7`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		alerts, err := alertmanager.DecodeAlerts(body)
		if err != nil && alerts != nil {
			t.Fatalf("%d alerts and %v", len(alerts), err)
		}
		for _, a := range alerts {
			if len(a.Labels) == 0 || a.Status != alertmanager.StatusFiring {
				t.Fatalf("alert is %+v", a)
			}
		}
	})
}

// Any body has status 200 or 400 in bounded time. With 400 nothing was written, and a repetition
// of a webhook with dates changes nothing.
func FuzzHandler(f *testing.F) {
	for _, body := range []string{
		webhook(), webhook(firing("warning", 0), resolved("critical", 0, 10)), `{}`, `null`, `{"alerts":[7,{},null]}`,
		`{"version":"1","alerts":[{"status":"firing","labels":{"alertname":"\u0000\ud800","severity":"#none"}}]}`,
		`{"alerts":[{"status":"resolved","labels":{"alertname":"a"},"endsAt":"0001-01-01T00:00:00Z"}],"truncatedAlerts":18446744073709551615}`,
		`{"alerts":[{"status":"firing","labels":{"alertname":"a"},"startsAt":"9999-12-31T23:59:59.999999999+14:00"}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := incident.New(memory.New(), &incident.Options{Cache: incident.NoCache})
		if err != nil {
			t.Fatal(err)
		}
		h, err := alertmanager.New(m, &alertmanager.Options{Organization: org, Tokens: []string{token}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, manager: m, handler: h}
		start := time.Now()
		status, answer := w.do(request(string(body)))
		if took := time.Since(start); took > 30*time.Second {
			t.Fatalf("took %s", took)
		}
		written := w.versions()
		got := h.Stats()
		switch status {
		case http.StatusOK:
			if got.Received != got.Fired+got.Resolved+got.Unchanged+got.Unusable {
				t.Fatalf("counted %+v", got)
			}
		case http.StatusBadRequest:
			if len(written) > 0 {
				t.Fatalf("wrote %d incidents: %s", len(written), answer)
			}
		default:
			t.Fatalf("status %d: %s", status, answer)
		}
		if again, _ := w.do(request(string(body))); again != status {
			t.Fatalf("status %d, and repeated %d", status, again)
		}
		if after := h.Stats(); after.Received != 2*got.Received {
			t.Fatalf("counted %+v, and repeated %+v", got, after)
		}
	})
}
