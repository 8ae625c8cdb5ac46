package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/api/client"
)

// remoteDeliveries is ListDeliveries through the API, which does not leave out tests.
func (a *Admin) remoteDeliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error) {
	company, err := a.companyID(ctx, q.Company)
	if err != nil {
		return nil, err
	}
	params := client.ListDeliveriesParams{
		WebhookID: given(q.Webhook), CompanyID: company, EventType: given(q.Event),
		Status: given(client.DeliveryStatus(q.Status)), Since: given(q.Since), Until: given(q.Until),
	}
	var keep func(*Delivery) bool
	if q.withoutTests() {
		keep = func(d *Delivery) bool { return !d.IsTest }
	}
	list, err := listed(ctx, q.Limit, place{cursor: after(q.Cursor)}, keep, func(at place) (*http.Response, error) {
		params.Cursor, params.Limit = at.cursor, &at.size
		return a.api.ListDeliveries(ctx, &params)
	})
	if err != nil {
		return nil, err
	}
	labels := a.remoteLabels(ctx, len(list) > 0)
	for i := range list {
		list[i].webhook = labels[list[i].WebhookID]
	}
	return list, nil
}

// remoteDelivery is GetDelivery through the API.
func (a *Admin) remoteDelivery(ctx context.Context, id uuid.UUID) (DeliveryDetail, error) {
	d, err := answered[DeliveryDetail](a.api.GetDelivery(ctx, id.String()))
	if err != nil {
		return DeliveryDetail{}, err
	}
	d.Explanation = inCommands(d.Explanation, d.WebhookID)
	d.webhook = a.remoteLabels(ctx, true)[d.WebhookID]
	return d, nil
}

// remoteLabels are names and hosts of webhooks, for people: none if the key may not read webhooks or if they are not
// wanted. It is one request, because the number of a key's requests is limited.
func (a *Admin) remoteLabels(ctx context.Context, wanted bool) map[uuid.UUID]string {
	labels := map[uuid.UUID]string{}
	if !wanted {
		return labels
	}
	hooks, err := answered[struct{ Data []Webhook }](a.api.ListWebhooks(ctx, &client.ListWebhooksParams{}))
	if err != nil {
		return labels
	}
	for _, w := range hooks.Data {
		labels[w.ID] = strings.TrimSpace(w.Name + " " + webhook.Host(w.URL))
	}
	return labels
}
