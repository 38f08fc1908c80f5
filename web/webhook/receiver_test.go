package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// inbox is a receiver and the notifications that it has handled.
type inbox struct {
	*Receiver
	got []incident.Notification
	err error // result of the next handling
	log *lockedBuffer
}

func newInbox(t testing.TB, secrets ...Secret) *inbox {
	t.Helper()
	box := &inbox{log: new(lockedBuffer)}
	r, err := NewReceiver(secrets, func(_ context.Context, n incident.Notification) error {
		if box.err == nil {
			box.got = append(box.got, n)
		}
		return box.err
	}, &ReceiverOptions{Now: clock, Logger: box.log.logger(), MaxBodySize: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	box.Receiver = r
	return box
}

func TestReceiver_Refuses(t *testing.T) {
	secret, other := NewSecret(), NewSecret()
	for name, c := range map[string]struct {
		change func(*delivery)
		status int
		text   string
	}{
		"as it is":           {func(*delivery) {}, 204, ""},
		"GET":                {func(d *delivery) { d.method = "GET" }, 405, "only POST is allowed"},
		"tampered body":      {func(d *delivery) { d.body = bytes.Replace(d.body, []byte("ada"), []byte("bob"), 1) }, 403, "no signature is valid"},
		"longer body":        {func(d *delivery) { d.body = append(d.body, ' ') }, 403, "no signature is valid"},
		"empty body":         {func(d *delivery) { d.body = nil }, 403, "no signature is valid"},
		"tampered id":        {func(d *delivery) { d.id = uuid.NewString() }, 403, "no signature is valid"},
		"the id in capitals": {func(d *delivery) { d.id = "{" + d.id + "}" }, 403, "no signature is valid"},
		"tampered timestamp": {func(d *delivery) { d.timestamp = formatTimestamp(now.Add(time.Second)) }, 403, "no signature is valid"},
		"padded timestamp":   {func(d *delivery) { d.timestamp = "0" + d.timestamp }, 400, "the timestamp is not in seconds since 1970"},
		"tampered signature": {func(d *delivery) { d.signature = "v1," + tampered(d.signature[3:]) }, 403, "no signature is valid"},
		"another's secret":   {func(d *delivery) { d.signature = handmade(*d, other) }, 403, "no signature is valid"},
		"parts moved": {func(d *delivery) {
			d.id, d.body = d.id+"."+d.timestamp[:2], append([]byte(d.timestamp[2:]+"."), d.body...)
		}, 403, "no signature is valid"},
		"no id":             {func(d *delivery) { d.header[HeaderID] = nil }, 400, "want the header Webhook-Id, once"},
		"no timestamp":      {func(d *delivery) { d.header[HeaderTimestamp] = nil }, 400, "want the header Webhook-Timestamp, once"},
		"no signature":      {func(d *delivery) { d.header[HeaderSignature] = nil }, 400, "want the header Webhook-Signature, once"},
		"two ids":           {func(d *delivery) { d.header[HeaderID] = []string{d.id, d.id} }, 400, "want the header Webhook-Id, once"},
		"bad timestamp":     {func(d *delivery) { d.timestamp = "yesterday" }, 400, "the timestamp is not in seconds since 1970"},
		"bad signature":     {func(d *delivery) { d.signature = "v1,x" }, 403, "no signature is valid"},
		"later version":     {func(d *delivery) { d.signature = "v2" + d.signature[2:] }, 400, "no signature of version v1"},
		"too large":         {func(d *delivery) { d.body = make([]byte, 4<<10+1) }, 413, "the body is larger than 4096 bytes"},
		"no JSON":           {signedBody(secret, func([]byte) string { return "x" }), 400, "the body is not a notification"},
		"a list":            {signedBody(secret, func([]byte) string { return "[]" }), 400, "the body is not a notification"},
		"something behind":  {signedBody(secret, func(b []byte) string { return string(b) + "{}" }), 400, "the body is not a notification"},
		"null":              {signedBody(secret, func([]byte) string { return "null" }), 400, "the body is of another notification than Webhook-Id says"},
		"another id inside": {signedBody(secret, func(b []byte) string { return strings.Replace(string(b), "1111", "1112", 1) }), 400, "the body is of another notification than Webhook-Id says"},
		"two incidents":     {signedBody(secret, func(b []byte) string { return strings.Replace(string(b), `"42"`, `"43"`, 1) }), 400, "the activity is of another incident"},
		"unknown field":     {signedBody(secret, func(b []byte) string { return `{"later":1,` + string(b[1:]) }), 204, ""},
	} {
		box := newInbox(t, secret)
		d := newDelivery(t, note(), now, secret)
		c.change(&d)
		answer := d.send(t, box)
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != c.status || strings.TrimSpace(string(text)) != c.text {
			t.Errorf("%s: %d %q, want %d %q", name, answer.StatusCode, text, c.status, c.text)
		}
		if accepted := c.status == 204; accepted != (len(box.got) == 1) || box.log.String() != "" {
			t.Errorf("%s: %d notifications were handled, and the log is %q", name, len(box.got), box.log)
		}
		if answer.StatusCode == 405 && answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow is %q", name, answer.Header.Get("Allow"))
		}
	}
}

// tampered changes the first character.
func tampered(text string) string {
	if text[0] == 'A' {
		return "B" + text[1:]
	}
	return "A" + text[1:]
}

// signedBody replaces the body and signs it.
func signedBody(s Secret, change func([]byte) string) func(*delivery) {
	return func(d *delivery) {
		d.body = []byte(change(d.body))
		d.signature = handmade(*d, s)
	}
}

// A recorded request is refused once it is older than the tolerance.
func TestReceiver_refusesOldTimestamps(t *testing.T) {
	secret := NewSecret()
	for age, want := range map[time.Duration]int{
		0: 204, 5 * time.Minute: 204, -5 * time.Minute: 204,
		5*time.Minute + time.Second: 400, -5*time.Minute - time.Second: 400,
		24 * time.Hour: 400, -24 * time.Hour: 400,
	} {
		box := newInbox(t, secret)
		if got := newDelivery(t, note(), now.Add(-age), secret).send(t, box).StatusCode; got != want {
			t.Errorf("a request from %v ago got %d, want %d", age, got, want)
		}
	}
	for _, timestamp := range []time.Time{time.Unix(0, 0), time.Unix(1<<40-1, 0)} {
		if got := newDelivery(t, note(), timestamp, secret).send(t, newInbox(t, secret)).StatusCode; got != 400 {
			t.Errorf("a request from %v got %d", timestamp, got)
		}
	}
}

// A secret is rotated without a gap, whichever side begins, and the response does not
// reveal the matching secret.
func TestReceiver_rotatesSecrets(t *testing.T) {
	first, second, stranger := NewSecret(), NewSecret(), NewSecret()
	for name, c := range map[string]struct {
		receiver, sender []Secret
		want             int
	}{
		"both know the first":             {[]Secret{first}, []Secret{first}, 204},
		"the receiver knows both":         {[]Secret{first, second}, []Secret{first}, 204},
		"the sender has gone on":          {[]Secret{first, second}, []Secret{second}, 204},
		"the receiver has forgotten":      {[]Secret{second}, []Secret{second}, 204},
		"the sender signs with both":      {[]Secret{first}, []Secret{second, first}, 204},
		"and the receiver has gone on":    {[]Secret{second}, []Secret{second, first}, 204},
		"an old one":                      {[]Secret{second}, []Secret{first}, 403},
		"a stranger's":                    {[]Secret{first, second}, []Secret{stranger}, 403},
		"a stranger's of three":           {[]Secret{first}, []Secret{second, stranger}, 403},
		"a stranger's beside a good one":  {[]Secret{first}, []Secret{stranger, first}, 204},
		"one that is known to the others": {[]Secret{stranger, second, first}, []Secret{first}, 204},
	} {
		answer := newDelivery(t, note(), now, c.sender...).send(t, newInbox(t, c.receiver...))
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != c.want || c.want == 403 && string(text) != "no signature is valid\n" {
			t.Errorf("%s: %d %q, want %d", name, answer.StatusCode, text, c.want)
		}
	}
}

// A repetition is acknowledged and not handled again.
func TestReceiver_acknowledgesRepetitions(t *testing.T) {
	secret, id := NewSecret(), uuid.New()
	box := newInbox(t, secret)
	for range 3 {
		for _, organization := range []incident.OrganizationID{"acme", "globex"} { // each has its own IDs
			if got := newDelivery(t, noteOf(organization, id), now, secret).send(t, box).StatusCode; got != 204 {
				t.Fatalf("it got %d", got)
			}
		}
	}
	if len(box.got) != 2 || box.got[0].Incident.OrganizationID != "acme" || box.got[1].Incident.OrganizationID != "globex" {
		t.Errorf("handled %+v, want a notification of each organization", box.got)
	}
	if want := noteOf("acme", id); !reflect.DeepEqual(box.got[0], want) {
		t.Errorf("handled was %+v, want %+v", box.got[0], want)
	}
}

// A malformed signature beside a right one is passed over, as in the middle of a rotation.
func TestReceiver_passesOverMalformedSignatures(t *testing.T) {
	secret := NewSecret()
	for _, malformed := range []string{"v1,x", "v1,", "v1,=", "v1", "v1,,", ",", "x", "v1a,x", "v1," + strings.Repeat("A", 1000), "\xff"} {
		for _, after := range []bool{false, true} {
			box, d := newInbox(t, secret), newDelivery(t, note(), now, secret)
			if d.signature += " " + malformed; after {
				d.signature = malformed + " " + handmade(d, secret)
			}
			if got := d.send(t, box).StatusCode; got != 204 || len(box.got) != 1 {
				t.Errorf("%q: %d", d.signature, got)
			}
		}
	}
}

// Errors of the handler keep their kind on the way to the sender, but not their text.
func TestReceiver_keepsTheKindOfErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"an error":           {errors.New("s3cret"), "again"},
		"gone":               {fmt.Errorf("s3cret: %w", ErrGone), "given up"},
		"undeliverable":      {fmt.Errorf("s3cret: %w", incident.ErrUndeliverable), "again"},
		"later":              {fmt.Errorf("s3cret: %w", &incident.RetryAfterError{After: 90 * time.Second, Err: errors.New("x")}), "again after 1m30s"},
		"a bit later":        {&incident.RetryAfterError{After: time.Nanosecond, Err: errors.New("s3cret")}, "again after 1s"},
		"much later":         {&incident.RetryAfterError{After: 1<<63 - 1, Err: errors.New("s3cret")}, "again after 1h0m0s"},
		"before":             {&incident.RetryAfterError{After: -time.Hour, Err: errors.New("s3cret")}, "again after 0s"},
		"of a closed client": {context.Canceled, "again"},
	} {
		secret := mustSecret(t, wellKnown)
		box := newInbox(t, secret)
		n := serve(t, box.ServeHTTP, &Options{Now: clock})
		box.err = c.err
		err := n.Notify(t.Context(), note())
		if kind(err) != c.want || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %s (%v), want %s", name, kind(err), err, c.want)
		}
		if log := box.log.String(); !strings.Contains(log, `"incident":"acme#42","activity":7,"notification":"11111111-`) || strings.Count(log, "\n") != 1 {
			t.Errorf("%s: the log is %s", name, log)
		}
		box.err = nil // a failure is not remembered
		replayed := note()
		replayed.Replayed = true
		if err := n.Notify(t.Context(), replayed); err != nil || len(box.got) != 1 {
			t.Errorf("%s: afterwards %v, and %d were handled", name, err, len(box.got))
		}
	}
}

// Nor is a panic or an exited goroutine.
func TestReceiver_panicIsAFailure(t *testing.T) {
	secret, log := mustSecret(t, wellKnown), new(lockedBuffer)
	for name, c := range map[string]func(){
		"a panic":       func() { panic("s3cret") },
		"of net/http":   func() { panic(http.ErrAbortHandler) },
		"nil":           func() { var p *int; *p = 1 },
		"its goroutine": runtime.Goexit,
	} {
		handle, handled := c, 0
		receiver, err := NewReceiver([]Secret{secret}, func(context.Context, incident.Notification) error {
			handle()
			handled++
			return nil
		}, &ReceiverOptions{Now: clock, Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		w, ended := httptest.NewRecorder(), make(chan bool)
		go func() {
			defer close(ended)
			receiver.ServeHTTP(w, newDelivery(t, note(), now, secret).request(t))
		}()
		<-ended
		if name != "its goroutine" && (w.Code != 500 || strings.Contains(w.Body.String(), "s3cret")) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		handle = func() {}
		if got := newDelivery(t, note(), now, secret).send(t, receiver).StatusCode; got != 204 || handled != 1 {
			t.Errorf("%s: afterwards %d, and %d were handled", name, got, handled)
		}
	}
	if text := log.String(); !strings.Contains(text, "the handler panicked: s3cret\\ngoroutine ") {
		t.Errorf("the log is %s", text)
	}
}

// A truncated body is not reported as invalid.
func TestReceiver_truncatedBody(t *testing.T) {
	secret := NewSecret()
	r := newDelivery(t, note(), now, secret).request(t)
	r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 10), brokenReader{}))
	w, box := httptest.NewRecorder(), newInbox(t, secret)
	box.ServeHTTP(w, r)
	if w.Code != 408 || len(box.got) > 0 {
		t.Errorf("it got %d %s", w.Code, w.Body)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The longest comment and ten thousand recipients fit.
func TestReceiver_acceptsLargestNotification(t *testing.T) {
	secret, n := NewSecret(), note()
	n.Activity.Comment = strings.Repeat("<", incident.MaxCommentSize) // 6 bytes each in JSON
	n.Incident.Title = strings.Repeat("é", incident.MaxTitleLength)
	n.Recipients = nil
	for i := range 10_000 {
		n.Recipients = append(n.Recipients, incident.UserID(fmt.Sprintf("%s-%04d", uuid.Nil, i)))
	}
	receiver, err := NewReceiver([]Secret{secret}, func(_ context.Context, got incident.Notification) error {
		if !reflect.DeepEqual(got, n) {
			t.Error("got an unexpected notification")
		}
		return nil
	}, &ReceiverOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if got := newDelivery(t, n, now, secret).send(t, receiver).StatusCode; got != 204 {
		data, _ := json.Marshal(n)
		t.Errorf("%d bytes got status %d", len(data), got)
	}
}

func TestNewReceiver_Refuses(t *testing.T) {
	for _, c := range []struct {
		secrets []Secret
		o       ReceiverOptions
		want    string
	}{
		{nil, ReceiverOptions{}, "webhook: want 1 to 16 secrets, not 0"},
		{[]Secret{{}}, ReceiverOptions{}, "webhook: secret 1 is empty; use NewSecret or ParseSecret"},
		{[]Secret{NewSecret()}, ReceiverOptions{Tolerance: -1}, "webhook: Tolerance and MaxBodySize must not be negative"},
		{[]Secret{NewSecret()}, ReceiverOptions{MaxBodySize: -1}, "webhook: Tolerance and MaxBodySize must not be negative"},
	} {
		if _, err := NewReceiver(c.secrets, nil, &c.o); err == nil || err.Error() != c.want {
			t.Errorf("NewReceiver() = %v, want %s", err, c.want)
		}
	}
}
