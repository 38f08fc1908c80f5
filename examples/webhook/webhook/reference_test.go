package webhook

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
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
	return []string{secretPrefix + text, text, secretPrefix + bare, bare}
}

// The reference implementation verifies the requests of a Notifier by each of its secrets.
func TestNotifier_referenceVerifies(t *testing.T) {
	for name, key := range keys() {
		reference, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range writings(key) {
			secret, requests := mustSecret(t, text), 0
			n := serve(t, func(_ http.ResponseWriter, r *http.Request) {
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
			}, nil)
			for _, secrets := range [][]Secret{{secret}, {NewSecret(), secret}, {secret, NewSecret()}} {
				n.secrets = secrets
				if err := n.Notify(t.Context(), note()); err != nil {
					t.Error(err)
				}
			}
			if requests != 3 {
				t.Errorf("%s: got %d requests", name, requests)
			}
		}
	}
	// The standard text of a new secret is one that the reference reads.
	if _, err := standardwebhooks.NewWebhook(NewSecret().Text()); err != nil {
		t.Error(err)
	}
}

// A Receiver accepts requests that the reference implementation signs, in the same
// tolerance of their timestamps.
func TestReceiver_acceptsReference(t *testing.T) {
	for name, key := range keys() {
		reference, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range writings(key) {
			for age, want := range map[time.Duration]int{
				0: 204, 4 * time.Minute: 204, -4 * time.Minute: 204, 6 * time.Minute: 400, -6 * time.Minute: 400,
			} {
				box := newInbox(t, NewSecret(), mustSecret(t, text))
				box.options.Now = time.Now // the reference has no other clock
				sent := time.Now().Add(-age)
				d := newDelivery(t, note(), sent)
				if d.signature, err = reference.Sign(d.id, sent, d.body); err != nil {
					t.Fatal(err)
				}
				verified := reference.Verify(d.body, d.request(t).Header) == nil
				if got := d.send(t, box).StatusCode; got != want || verified != (want == 204) {
					t.Errorf("%s, %v old: %d, and verified by the reference is %t", name, age, got, verified)
				}
			}
		}
	}
}
