// Package alertmanager receives the webhooks of Prometheus Alertmanager and of Grafana, and keeps
// an incident for each problem. It uses the standard library and package incident alone.
//
// The host mounts the handler where it likes:
//
//	alerts, err := alertmanager.New(incidents, &alertmanager.Options{
//		Organization: "acme",
//		ProjectLabel: "service",
//		Tokens:       []string{os.Getenv("ALERTS_TOKEN")},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("/alerts", alerts)
//
// # Alertmanager
//
// In alertmanager.yml:
//
//	route:
//	  receiver: incidents
//	receivers:
//	  - name: incidents
//	    webhook_configs:
//	      - url: https://example.com/alerts
//	        send_resolved: true
//	        max_alerts: 0
//	        http_config:
//	          authorization:
//	            credentials_file: /etc/alertmanager/incidents.token
//
// With max_alerts above 0 Alertmanager cuts alerts off: no incident is opened for them, and none is
// closed. [Stats] counts them as Truncated. An alert that is always firing, such as Watchdog or
// InfoInhibitor of kube-prometheus, belongs to another receiver.
//
// # Grafana
//
// Add a contact point of type Webhook with the URL, the method POST, and the token as the
// credentials of the authorization header with the scheme Bearer. Leave "Max alerts" at 0 and
// "Disable resolved message" off. Grafana sends the same payload with further fields. Its
// links become annotations. A custom payload is not understood. Give Alertmanager and Grafana
// handlers with different [Options.Source] if they send the same alerts.
//
// # Which incident
//
// Alerts whose labels differ only in the severity share a slot, and so an incident:
//
//   - AlertRuleID is the label alertname.
//   - ProjectID is the label [Options.ProjectLabel], otherwise [Options.Project].
//   - QueryID is the hexadecimal SHA-256 of [Options.Source] and of all labels except alertname and
//     the severity, in order of name. Each name and value is preceded by its length in 8 bytes,
//     big-endian.
//   - TriggerID is the severity, or "#none".
//
// A label that is no identifier, since it is longer than [incident.MaxIDSize], has control
// characters or begins with "#", becomes "#" and its hexadecimal SHA-256. [Options.Map] can change
// all of it.
//
// The fingerprint of an alert contains its severity, and a groupKey the route of the configuration:
// neither names a problem. The status of a group is that of the alerts that were sent, not of those
// that were cut off. All three are ignored.
//
// # Which order
//
// An alert that is firing is sent again and again with the same startsAt, the start of its episode. The
// next episode has a later startsAt. Alertmanager sends at least once, also from several peers, and
// repeats what failed. The handler passes each alert to [incident.TriggerManager] with its date, so
// that
//
//   - a repeated alert changes nothing, also if others arrived in between
//   - the end of an episode closes nothing of the next
//   - an incident that a user closed stays closed until the next episode
//   - the end of an unknown alert is ignored
//
// If an episode still fires when [Options.LateDelivery] has passed since its end, the end was wrong,
// and the alert fires again.
//
// # Lost resolutions
//
// Alertmanager sends no resolution of an alert that ended while it was silenced, while Alertmanager
// was restarting, or before Alertmanager had the answer to its firing: the incident would stay
// active. A [Reconciler] compares the incidents with the list of alerts:
//
//	source := &alertmanager.API{URLs: []string{"http://alertmanager:9093"}}
//	reconciler, err := alerts.NewReconciler(&alertmanager.ReconcileOptions{Alerts: source.Alerts, Watchdog: "Watchdog"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	go reconciler.Run(ctx)
//
// # Contents
//
// The title is the annotation summary or title, otherwise the name of the alert; it is changed
// rather than refused: see [incident.NormalizeTitle]. The labels and annotations of the alert that
// opens an incident become those of the incident, as far as they have room; later alerts change
// neither. The links of the alert become annotations such as generatorURL. Links, and annotations
// whose name ends with "url", must be http or https URLs; passwords in them are removed.
package alertmanager
