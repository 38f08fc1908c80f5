package alertmanager_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

func TestHandler_refusesBadBodies(t *testing.T) {
	const secret = "s3cr3t<script>"
	for body, field := range map[string]string{
		``:                            "body",
		`{`:                           "body",
		`{"alerts":[]} x`:             "body",
		secret:                        "body",
		`"` + secret + `"`:            "body",
		`[]`:                          "body",
		`7`:                           "body",
		`null`:                        "alerts",
		`{}`:                          "alerts",
		`{"alerts":null}`:             "alerts",
		`{"alerts":{}}`:               "alerts",
		`{"alerts":"` + secret + `"}`: "alerts",
		`{"version":"5","alerts":[]}`: "version",
		`{"version":4,"alerts":[]}`:   "version",
		`{"version":"` + secret + `","alerts":[]}`:   "version",
		`{"alerts":[` + jsonOf(firing("warning", 0)): "body",
		"{\"alerts\":[" + strings.Repeat("[", 20000): "body",
	} {
		w := newWorld(t)
		answer := w.postBody(body, http.StatusBadRequest)
		if !strings.HasPrefix(answer, `{"error":"`+field+" ") {
			t.Errorf("%.40q: answer is %s, want field %s", body, answer, field)
		}
		if strings.Contains(answer+w.log.String(), "s3cr3t") {
			t.Errorf("%.40q: echoed in %s%s", body, answer, w.log)
		}
		w.want()
	}
}

func TestHandler_toleratesOddBodies(t *testing.T) {
	a := jsonOf(firing("warning", 0))
	for _, body := range []string{
		`{"alerts":[` + a + `]}`,
		`{"version":null,"alerts":[` + a + `],"unknown":{"deep":[1,2]}}`,
		`{"version":"1","orgId":1,"title":"[FIRING:1]","state":"alerting","message":"x","alerts":[` + a + `]}`,
		`{"alerts":[],"alerts":[` + a + `]}`,
		`{"alerts":[` + a + `],"truncatedAlerts":"many","externalURL":7}`,
		strings.ReplaceAll(webhook(firing("warning", 0)), ",", " ,\n\t"),
		`{"alerts":[{"status":"resolved","labels":{"alertname":"B"},"status":"firing","labels":{"alertname":"C"}}]}`,
		`{"alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{"n":7,"m":"x"},"generatorURL":{},"values":{"B":1.5},"startsAt":null}]}`,
		`{"alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":"x","startsAt":"0001-01-01T00:00:00Z"}]}`,
	} {
		w := newWorld(t)
		w.postBody(body, http.StatusOK)
		w.want(warning)
	}
}

// An alert that can never be used does not make Alertmanager repeat the others.
func TestHandler_unusableAlertsAreCounted(t *testing.T) {
	bad := []string{
		`7`, `null`, `[]`, `{}`, `"firing"`,
		`{"status":"firing"}`,
		`{"status":"firing","labels":{}}`,
		`{"status":"firing","labels":{"alertname":""}}`,
		`{"status":"firing","labels":{"severity":"critical"}}`,
		`{"status":"firing","labels":{"alertname":7}}`,
		`{"status":"firing","labels":[]}`,
		`{"status":"pending","labels":{"alertname":"A"}}`,
		`{"status":7,"labels":{"alertname":"A"}}`,
		`{"labels":{"alertname":"A"}}`,
		`{"status":"firing","labels":{"alertname":"A"},"startsAt":"yesterday"}`,
		`{"status":"firing","labels":{"alertname":"A"},"startsAt":1700000000}`,
		`{"status":"firing","labels":{"alertname":"A","x":"` + strings.Repeat("x", alertmanager.MaxAlertSize) + `"}}`,
	}
	w := newWorld(t)
	answer := w.postBody(`{"alerts":[`+strings.Join(bad, ",")+`,`+jsonOf(firing("warning", 0))+`]}`, http.StatusOK)
	w.want(warning)
	want := fmt.Sprintf(`{"received":%d,"changed":1,"unusable":%d,"truncated":0}`+"\n", len(bad)+1, len(bad))
	if answer != want {
		t.Errorf("answer is %s, want %s", answer, want)
	}
	if got := w.handler.Stats(); got.Unusable != uint64(len(bad)) || got.Received != uint64(len(bad)+1) || got.Failed != 0 {
		t.Errorf("counted %+v", got)
	}
	if lines := strings.Count(w.log.String(), "\n"); lines > 12 {
		t.Errorf("%d lines of log", lines)
	}
}

func TestHandler_logsAreEscaped(t *testing.T) {
	w := newWorld(t, func(o *alertmanager.Options) {
		o.Map = func(*alertmanager.Alert, *incident.Firing) error { return errors.New("odd\nlevel=ERROR forged") }
	})
	w.post(labeled(labels{"alertname": "x\nlevel=ERROR forged\x1b[31m" + strings.Repeat("y", 1000), "password": "hunter2"}))
	got := w.log.String()
	if strings.Count(got, "\n") != 1 || len(got) > 600 || strings.Contains(got, "hunter2") || strings.Contains(got, "\x1b") {
		t.Errorf("log is %q", got)
	}
}

func TestHandler_refusesOtherRequests(t *testing.T) {
	body := webhook(firing("warning", 0))
	for name, c := range map[string]struct {
		change func(r *http.Request)
		want   int
	}{
		"GET":            {func(r *http.Request) { r.Method = "GET" }, 405},
		"PUT":            {func(r *http.Request) { r.Method = "PUT" }, 405},
		"form":           {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415},
		"no type":        {func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"odd type":       {func(r *http.Request) { r.Header.Set("Content-Type", "application/json;;") }, 415},
		"gzip":           {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		"no credentials": {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"two headers":    {func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+token) }, 401},
		"other token":    {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401},
		"empty token":    {func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		"token prefix":   {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token[:8]) }, 401},
		"no scheme":      {func(r *http.Request) { r.Header.Set("Authorization", token) }, 401},
		"as basic":       {func(r *http.Request) { r.SetBasicAuth("", token) }, 401},
		"basic":          {func(r *http.Request) { r.SetBasicAuth("am", "wrong") }, 401},
		"basic as token": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer am:pass:word") }, 401},
	} {
		w := newWorld(t, func(o *alertmanager.Options) { o.Username, o.Password = "am", "pass:word" })
		r := request(body)
		c.change(r)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, rec.Code, c.want)
		}
		switch {
		case c.want == 405 && rec.Header().Get("Allow") != "POST":
			t.Errorf("%s: Allow is %q", name, rec.Header().Get("Allow"))
		case c.want == 401 && !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Bearer"):
			t.Errorf("%s: WWW-Authenticate is %q", name, rec.Header())
		}
		if text := rec.Body.String() + w.log.String(); strings.Contains(text, token) || strings.Contains(text, "pass:word") {
			t.Errorf("%s: a secret in %s", name, text)
		}
		w.want()
		if got := w.handler.Stats(); got.Refused != 1 || got.Requests != 1 || got.Received != 0 {
			t.Errorf("%s: counted %+v", name, got)
		}
	}
}

func TestHandler_acceptsCredentials(t *testing.T) {
	for _, header := range []string{
		"Bearer " + token, "bearer " + token, "BEARER  " + token, "Bearer old",
		"Basic " + base64.StdEncoding.EncodeToString([]byte("am:pass:word")),
	} {
		w := newWorld(t, func(o *alertmanager.Options) {
			o.Tokens, o.Username, o.Password = append(o.Tokens, "old"), "am", "pass:word"
		})
		r := request(webhook(firing("warning", 0)))
		r.Header.Set("Authorization", header)
		r.Header.Set("Content-Type", "Application/JSON; charset=utf-8")
		if status, answer := w.do(r); status != 200 {
			t.Errorf("%s: status %d: %s", header, status, answer)
		}
		w.want(warning)
	}
}

func TestHandler_limitsTheBody(t *testing.T) {
	body := webhook(firing("warning", 0))
	w := newWorld(t, func(o *alertmanager.Options) { o.MaxBodySize = int64(len(body)) })
	w.postBody(body+" ", http.StatusRequestEntityTooLarge)
	w.want()
	w.postBody(body, http.StatusOK)
	w.want(warning)
}

func TestHandler_brokenBodyIsRepeated(t *testing.T) {
	w := newWorld(t)
	r := request("")
	r.Body = http.NoBody
	r = r.WithContext(t.Context())
	r.Body = readCloser{iotest.TimeoutReader(strings.NewReader(webhook(firing("warning", 0))))}
	if status, _ := w.do(r); status != http.StatusServiceUnavailable && status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	r = request("")
	r.Body = readCloser{iotest.ErrReader(errors.New("reset"))}
	if status, _ := w.do(r); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", status)
	}
}

type readCloser struct {
	r interface{ Read([]byte) (int, error) }
}

func (r readCloser) Read(p []byte) (int, error) { return r.r.Read(p) }
func (readCloser) Close() error                 { return nil }
