package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of [API].
const (
	DefaultAPITimeout = 30 * time.Second
	DefaultAPISize    = 64 << 20
)

// API reads the alerts of the Alertmanagers of a cluster over their HTTP API, version 2. Grafana has
// the same API:
//
//	source := &alertmanager.API{URLs: []string{"http://alertmanager-0:9093", "http://alertmanager-1:9093"}}
//	source := &alertmanager.API{URLs: []string{"https://grafana.example.com/api/alertmanager/grafana"}}
type API struct {
	// URLs are those of all peers, without "/api/v2". An alert that any of them has is present,
	// and all must answer.
	URLs []string

	// Client defaults to a client with a timeout of [DefaultAPITimeout].
	Client *http.Client

	// Prepare may add credentials to a request. Defaults to none.
	Prepare func(r *http.Request) error

	// MaxSize is the most bytes of an answer. A larger answer is an error. Defaults to
	// [DefaultAPISize].
	MaxSize int64
}

// defaultClient is the default of [API.Client].
var defaultClient = &http.Client{Timeout: DefaultAPITimeout}

// Alerts returns all alerts that are firing, also silenced and inhibited alerts. It is meant for
// [ReconcileOptions.Alerts]: it returns an error unless each peer has answered with a whole list of
// alerts that can be read. The error contains nothing of an answer.
func (a *API) Alerts(ctx context.Context) ([]*Alert, error) {
	if len(a.URLs) == 0 {
		return nil, refused("API.URLs is required")
	}
	var all []*Alert
	for _, base := range a.URLs {
		alerts, err := a.read(ctx, base)
		if err != nil {
			return nil, fmt.Errorf("read the alerts: %w", err)
		}
		all = append(all, alerts...)
	}
	return all, nil
}

// read returns the alerts of a peer.
func (a *API) read(ctx context.Context, base string) ([]*Alert, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, refused("API.URLs must be http or https URLs without a query")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/api/v2/alerts", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if a.Prepare != nil {
		if err := a.Prepare(r); err != nil {
			return nil, err
		}
	}
	if r.URL.RawQuery != "" { // it would filter
		return nil, refused("API.Prepare must not add a query")
	}
	client := a.Client
	if client == nil {
		client = defaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	limit := a.MaxSize
	if limit <= 0 {
		limit = DefaultAPISize
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, errors.New("the answer is too large")
	}
	return DecodeAlerts(body)
}

// DecodeAlerts returns the alerts of an answer of GET /api/v2/alerts. It returns an error if any of
// them cannot be read. The error contains nothing of the answer.
func DecodeAlerts(body []byte) ([]*Alert, error) {
	var list []json.RawMessage
	if text := bytes.TrimLeft(body, " \t\r\n"); len(text) == 0 || text[0] != '[' {
		return nil, errors.New("the answer is no list")
	}
	if json.Unmarshal(body, &list) != nil {
		return nil, errors.New("the answer is not whole")
	}
	alerts := make([]*Alert, len(list))
	for i, raw := range list {
		a, err := decodeCommon(raw)
		if err != nil {
			return nil, fmt.Errorf("alert %d: %w", i+1, err)
		}
		if len(a.Labels) == 0 {
			return nil, fmt.Errorf("alert %d: %w", i+1, bad("labels", "is required"))
		}
		a.Status = StatusFiring
		alerts[i] = a
	}
	return alerts, nil
}
