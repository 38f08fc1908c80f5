package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var now = time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)

// clock stands still unless it is set.
func clock() time.Time { return now }

const wellKnown = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func mustSecret(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// note returns a notification with a value in every field.
func note() incident.Notification {
	closed := now.Add(-time.Minute)
	return incident.Notification{
		Activity: incident.Activity{
			Incident: incident.Key{OrganizationID: "acme", Identifier: 42}, Sequence: 7,
			Type: incident.ActivityTypeStatusChange, UserID: "ada",
			Value: incident.StatusClosed, PreviousValue: incident.StatusCritical,
			Comment: "Over <b> & \u2028\n\"done\"", NotificationUUID: uuid.MustParse("11111111-1111-1111-1111-111111111111"),
			DateAdded: now, DateEdited: &closed, DateDeleted: &closed, Revision: 2,
		},
		Incident: incident.Incident{
			OrganizationID: "acme", Identifier: 42, Title: "Down", Type: incident.TypeAlertTriggered,
			Status: incident.StatusClosed, StatusMethod: incident.StatusMethodManual,
			AlertRuleID: "rule", QueryID: "query", DetectionUUID: uuid.MustParse("22222222-2222-2222-2222-222222222222"),
			Projects: []incident.ProjectID{"checkout", "search"}, DateStarted: closed, DateDetected: closed, DateAdded: closed,
			DateClosed: &closed, Version: 3,
		},
		Recipients: []incident.UserID{"bob", "grace"},
		Attempt:    3,
	}
}

func noteOf(organization incident.OrganizationID, id uuid.UUID) incident.Notification {
	n := note()
	n.Activity.NotificationUUID = id
	n.Activity.Incident.OrganizationID = organization
	n.Incident.OrganizationID = organization
	return n
}

// delivery is a signed request that a test modifies.
type delivery struct {
	method, id, timestamp, signature string
	body                             []byte
	header                           http.Header // overrides the others
}

func newDelivery(t testing.TB, n incident.Notification, at time.Time, secrets ...Secret) delivery {
	t.Helper()
	body, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	d := delivery{method: http.MethodPost, id: n.Activity.NotificationUUID.String(), timestamp: formatTimestamp(at), body: body, header: http.Header{}}
	d.signature = handmade(d, secrets...)
	return d
}

// handmade signs a delivery as the standard says, without the code of the package.
func handmade(d delivery, secrets ...Secret) string {
	var all []string
	for _, s := range secrets {
		mac := hmac.New(sha256.New, s.key())
		fmt.Fprintf(mac, "%s.%s.%s", d.id, d.timestamp, d.body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

func (d delivery) request(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), d.method, "/", bytes.NewReader(d.body))
	r.Header.Set(HeaderID, d.id)
	r.Header.Set(HeaderTimestamp, d.timestamp)
	r.Header.Set(HeaderSignature, d.signature)
	for name, values := range d.header {
		if r.Header[name] = values; values == nil {
			delete(r.Header, name)
		}
	}
	return r
}

func (d delivery) send(t testing.TB, to http.Handler) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	to.ServeHTTP(w, d.request(t))
	return w.Result()
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }
