package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/webhook"
)

// keys are one key of each length in base64: without padding, with one = and with two.
func keys() map[string][]byte {
	return map[string][]byte{
		"24 bytes": bytes.Repeat([]byte{1}, 24),
		"32 bytes": bytes.Repeat([]byte{2}, 32),
		"64 bytes": bytes.Repeat([]byte{3}, 64),
	}
}

// writings are the ways in which a secret is written.
func writings(key []byte) []string {
	text := base64.StdEncoding.EncodeToString(key)
	bare := strings.TrimRight(text, "=")
	return []string{"whsec_" + text, text, "whsec_" + bare, bare}
}

func mustSecret(t *testing.T, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustReference(t *testing.T, key []byte) *standardwebhooks.Webhook {
	t.Helper()
	w, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// note returns a notification of a comment.
func note() incident.Notification {
	return incident.Notification{
		Activity: incident.Activity{
			Incident: incident.Key{OrganizationID: "acme", Identifier: 42}, Sequence: 7, Type: incident.ActivityTypeComment,
			UserID: "ada", Comment: "Over <b> & \u2028\n\"done\"", NotificationUUID: uuid.MustParse("11111111-1111-1111-1111-111111111111"),
		},
		Incident: incident.Incident{OrganizationID: "acme", Identifier: 42, Title: "Down", Status: incident.StatusCritical},
	}
}

// The reference implementation verifies the requests of a Notifier by each of its secrets.
func TestNotifier_referenceVerifies(t *testing.T) {
	for name, key := range keys() {
		reference := mustReference(t, key)
		for _, text := range writings(key) {
			secret, requests := mustSecret(t, text), 0
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				requests++
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if err := reference.Verify(body, r.Header); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := reference.Verify(append(body, ' '), r.Header); err == nil {
					t.Errorf("%s: another body is accepted", name)
				}
			}))
			for _, secrets := range [][]webhook.Secret{{secret}, {webhook.NewSecret(), secret}, {secret, webhook.NewSecret()}} {
				n, err := webhook.NewNotifier(server.URL, secrets, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Notify(t.Context(), note()); err != nil {
					t.Error(err)
				}
				n.Close()
			}
			if server.Close(); requests != 3 {
				t.Errorf("%s: got %d requests", name, requests)
			}
		}
	}
	// The standard text of a new secret is one that the reference reads.
	if _, err := standardwebhooks.NewWebhook(webhook.NewSecret().Text()); err != nil {
		t.Error(err)
	}
}

// A Receiver accepts requests that the reference implementation signs, in the same
// tolerance of their timestamps.
func TestReceiver_acceptsReference(t *testing.T) {
	body, err := json.Marshal(note())
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range keys() {
		reference := mustReference(t, key)
		for _, text := range writings(key) {
			for age, want := range map[time.Duration]int{
				0: 204, 4 * time.Minute: 204, -4 * time.Minute: 204, 6 * time.Minute: 400, -6 * time.Minute: 400,
			} {
				receiver, err := webhook.NewReceiver([]webhook.Secret{webhook.NewSecret(), mustSecret(t, text)},
					func(context.Context, incident.Notification) error { return nil }, nil)
				if err != nil {
					t.Fatal(err)
				}
				sent, id := time.Now().Add(-age), note().UUID().String()
				signature, err := reference.Sign(id, sent, body)
				if err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
				r.Header.Set(webhook.HeaderID, id)
				r.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(sent.Unix(), 10))
				r.Header.Set(webhook.HeaderSignature, signature)
				verified := reference.Verify(body, r.Header) == nil
				w := httptest.NewRecorder()
				if receiver.ServeHTTP(w, r); w.Code != want || verified != (want == 204) {
					t.Errorf("%s, %v old: %d, and verified by the reference is %t", name, age, w.Code, verified)
				}
			}
		}
	}
}

// The Receiver and the reference implementation judge any list of signatures alike, up to the most
// that a Receiver compares.
func FuzzReceiver_judgesAsReference(f *testing.F) {
	key, other := bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	body, err := json.Marshal(note())
	if err != nil {
		f.Fatal(err)
	}
	sent, id := time.Unix(1_800_000_000, 0), note().UUID().String()
	clock := func() time.Time { return sent }
	reference, _ := standardwebhooks.NewWebhookRaw(key)
	another, _ := standardwebhooks.NewWebhookRaw(other)
	right, _ := reference.Sign(id, sent, body)
	wrong, _ := another.Sign(id, sent, body)
	for _, text := range []string{"", "R", "W", "R W", "W R", "v1a,R R", "R,more", "vR", "v1,", "R\tW", "v1", "v2,x  R "} {
		f.Add(text)
	}
	secret, err := webhook.ParseSecret(base64.StdEncoding.EncodeToString(key))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		receiver, err := webhook.NewReceiver([]webhook.Secret{secret}, func(context.Context, incident.Notification) error { return nil },
			&webhook.ReceiverOptions{Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		signatures := strings.NewReplacer("R", right, "W", wrong).Replace(text)
		if strings.Count(signatures, "v1,") > 16 {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set(webhook.HeaderID, id)
		r.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(sent.Unix(), 10))
		r.Header.Set(webhook.HeaderSignature, signatures)
		w := httptest.NewRecorder()
		receiver.ServeHTTP(w, r)
		if got, valid := w.Code == http.StatusNoContent, reference.VerifyIgnoringTimestamp(body, r.Header) == nil; got != valid {
			t.Errorf("%q: accepted is %t, and by the reference %t", text, got, valid)
		}
	})
}
