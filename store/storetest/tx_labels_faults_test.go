package storetest

import (
	"context"

	"github.com/incidentkit/incident"
)

func operationTxFaults() []fault {
	cases := []string{"InTx/UndoesOperations"}
	list := []fault{
		{"OperationsCommitErrors", errorsCommit, cases},
		{"OperationsCommitPanics", panicsCommit, cases},
		{"OperationsAreForgotten", commitIsForgotten, cases},
		{"LabelsInTxFromOutside", labelsInTxFromOutside, cases},
		{"LabelsOfUndoneTx", labelsOfUndoneTx, cases},
	}
	for name, change := range map[string]func(st incident.State) incident.Change{
		"Labels": func(st incident.State) incident.Change {
			return relabelling(st, map[string]string{"team": "shop"})
		},
		"Response": func(st incident.State) incident.Change { return responding(st, nil) },
		"Start": func(st incident.State) incident.Change {
			after := st
			after.Incident.DateStarted = minute(10)
			return update(st, after)
		},
	} {
		list = append(list, fault{"NotUndone" + name, changeNotUndone(change), cases})
	}
	return list
}

// changeNotUndone changes acme's first incident after a transaction that was undone.
func changeNotUndone(change func(st incident.State) incident.Change) func(s incident.Store) incident.Store {
	return notUndone(operation{"change", func(ctx context.Context, s incident.Store, w world) (any, error) {
		st, err := s.Load(ctx, incident.Key{OrganizationID: acme, Identifier: 1})
		if err != nil {
			return nil, err
		}
		return s.Apply(ctx, change(st))
	}})
}

// labelsInTxFromOutside lists by labels as before the transaction.
func labelsInTxFromOutside(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		before, err := tx.Incidents(context.Background(), incident.IncidentQuery{OrganizationID: acme, Limit: everything})
		labels := map[incident.Key]incident.Incident{}
		for _, inc := range before {
			labels[inc.Key()] = inc
		}
		if err != nil {
			return tx
		}
		return labelsMatch(func(inc incident.Incident, wanted []incident.Label) bool {
			return hasLabels(labels[inc.Key()], wanted)
		})(tx)
	})
}

// labelsOfUndoneTx lists by the labels of transactions that were undone.
func labelsOfUndoneTx(s incident.Store) incident.Store {
	return indexedLabels(s, func(before map[incident.Label]bool, c incident.Change, err error) map[incident.Label]bool {
		if err != nil {
			return before
		}
		return with(with(before, c.RemoveLabels, false), c.AddLabels, true)
	})
}
