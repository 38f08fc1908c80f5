package main

import "github.com/incidentkit/incident"

// scenario is a kind of incident of the demonstration's web shop.
type scenario struct {
	organization incident.OrganizationID
	rule         incident.AlertRuleID // empty for an incident that a person reports
	project      incident.ProjectID   // empty for none
	query        incident.QueryID
	team         string

	title string
	notes []string // comments in their order
	cause string   // comment of the end

	shortest, longest int // minutes
	critical          int // percent that become critical
}

// scenarios are all kinds of incidents. The frequent kinds come several times.
var scenarios = []scenario{
	{"acme", "checkout-error-rate", "checkout", "region=eu", "payments", "Checkout error rate is above 5%", []string{"Failures are limited to card payments.", "The deploy of 30 minutes ago is being rolled back."}, "The rollback is complete. The error rate is normal.", 8, 95, 60},
	{"acme", "checkout-latency", "checkout", "p95", "payments", "Checkout takes longer than 3 s", []string{"The pool of database connections is exhausted."}, "The pool was enlarged.", 10, 70, 30},
	{"acme", "payment-provider", "payments", "cards", "payments", "The card provider declines all payments", []string{"The provider's status page reports an outage.", "Customers see a notice, and can pay by invoice."}, "The provider has recovered.", 20, 240, 90},
	{"acme", "disk-space", "platform", "db-1", "platform", "The disk of db-1 is 90% full", []string{"Old logs are being compressed."}, "There is space again: 41% is free.", 30, 600, 10},
	{"acme", "disk-space", "platform", "logs-2", "platform", "The disk of logs-2 is 90% full", nil, "Retention of logs was shortened to 14 days.", 30, 400, 5},
	{"acme", "replication-lag", "platform", "db-2", "platform", "The replica db-2 lags by more than 60 s", []string{"A report holds back the replay."}, "The report was cancelled. The replica has caught up.", 5, 50, 15},
	{"acme", "certificate", "platform", "shop.example", "platform", "The certificate of shop.example expires in 7 days", nil, "The certificate was renewed.", 300, 1500, 0},
	{"acme", "search-latency", "search", "p99", "discovery", "Search answers slower than 2 s", []string{"A node of the index is being replaced."}, "The new node has all of its part of the index.", 10, 120, 25},
	{"acme", "search-empty", "search", "rate", "discovery", "One search in five finds nothing", []string{"The nightly import has left out a catalogue."}, "The catalogue was imported again.", 25, 180, 50},
	{"acme", "mail-queue", "mail", "order-confirmation", "messaging", "Order confirmations wait for more than 10 minutes", []string{"The mail provider limits our rate."}, "The queue is empty.", 15, 200, 20},
	{"acme", "mail-bounces", "mail", "newsletter", "messaging", "Bounces of the newsletter are above 4%", nil, "The list was cleaned.", 60, 300, 0},
	{"acme", "stock-sync", "warehouse", "", "logistics", "Stock is out of date for more than an hour", []string{"The job is stuck at a broken file.", "The file was moved away, and the job repeats."}, "Stock is up to date.", 40, 260, 35},
	{"acme", "label-printer", "warehouse", "hall-b", "logistics", "The label printers of hall B are offline", nil, "A switch was restarted.", 5, 45, 40},
	{"acme", "probe", "web", "home", "web", "The start page is unreachable from two regions", []string{"The CDN reports errors in both regions."}, "The CDN has recovered.", 4, 40, 95},
	{"acme", "images", "web", "cdn", "web", "Product images are missing for some visitors", []string{"A cache rule was changed yesterday."}, "The rule was changed back, and the cache is purged.", 30, 200, 20},
	{"acme", "", "checkout", "", "support", "Customers report that vouchers are refused", []string{"All vouchers of the spring campaign are affected."}, "The campaign had ended in the settings. It runs again.", 30, 300, 50},
	{"acme", "", "", "", "support", "The support hotline is unreachable", []string{"The telephone company knows of it."}, "Calls come through again.", 20, 150, 40},
	{"globex", "queue-depth", "billing", "invoices", "billing", "Invoices wait for more than an hour", []string{"The importer is restarted."}, "All invoices are sent.", 20, 180, 30},
	{"globex", "probe", "portal", "login", "portal", "Sign-in at the portal fails", []string{"The identity provider changed its keys."}, "The new keys are known.", 10, 90, 80},
}

// current are the incidents that are active when the demonstration is made.
var current = []struct {
	scenario  int // index of scenarios
	ago       int // minutes
	severity  incident.Status
	responder incident.UserID // empty for nobody
}{
	{0, 47, incident.StatusCritical, "robin"},
	{3, 310, incident.StatusWarning, ""},
	{9, 12, incident.StatusWarning, ""},
	{16, 95, incident.StatusWarning, "kim"},
	{18, 25, incident.StatusCritical, ""},
}
