package api

import (
	"strings"
	"time"

	"golang.org/x/text/language"
)

// inviteTexts are the sentences of the invite page in one language. The questions are the company's own.
type inviteTexts struct {
	Lang   string
	layout string // of times, in UTC

	Interview, Start, Submit, Sending, TimeLeft, TimeUp string
	// greeting has the first name, the company and the planned minutes; intro the number of questions and the minutes
	// that the candidate has.
	greeting, intro string
	// startBefore, submitBefore and opens have a time; tooLate and privacy the company.
	startBefore, submitBefore, opens, tooLate, privacy string

	Draft, Confirm, Required, Done, Closed, NotFound, NotFoundHelp string
}

// moment is a sentence around a time, which has an element of its own.
type moment struct{ Before, Time, ISO, After string }

// at puts a time into a sentence. It is in UTC; the page's script replaces it by the local one.
func (t *inviteTexts) at(sentence string, at time.Time) moment {
	before, after, _ := strings.Cut(sentence, "%s")
	return moment{before, at.UTC().Format(t.layout), at.UTC().Format(time.RFC3339), after}
}

var allInviteTexts = []inviteTexts{
	{
		Lang: "en", layout: "Monday, 2 January 2006, 15:04 UTC",
		Interview: "Interview", Start: "Start", Submit: "Submit", Sending: "Sending …",
		TimeLeft: "Time left:", TimeUp: "The time is up.",
		greeting:    "Hello %s, %s invites you to an interview of about %d minutes.",
		intro:       "Questions: %d, answered in writing. From when you start you have %d minutes.",
		startBefore: "Please start before %s.", submitBefore: "Please submit before %s.",
		opens:    "It opens on %s. Please come back then.",
		tooLate:  "The time to start this interview has passed. Please ask %s for a new invitation.",
		privacy:  "Your answers are sent to %s. This page sets no cookies and loads nothing from other sites.",
		Draft:    "What you write is kept in this browser until you submit it.",
		Confirm:  "My answers are complete. I cannot change them after submitting.",
		Required: "Please answer every question and confirm that your answers are complete.",
		Done:     "Thank you. Your answers have arrived.", Closed: "This interview is closed.",
		NotFound:     "There is no such invitation",
		NotFoundHelp: "Please check that the address is complete, or ask the company that invited you.",
	},
	{
		Lang: "de", layout: "02.01.2006, 15:04 UTC",
		Interview: "Interview", Start: "Beginnen", Submit: "Absenden", Sending: "Wird gesendet …",
		TimeLeft: "Verbleibende Zeit:", TimeUp: "Die Zeit ist abgelaufen.",
		greeting:    "Guten Tag %s, %s lädt Sie zu einem Interview von etwa %d Minuten ein.",
		intro:       "Fragen: %d, schriftlich zu beantworten. Ab dem Beginn haben Sie %d Minuten.",
		startBefore: "Bitte beginnen bis: %s.", submitBefore: "Bitte absenden bis: %s.",
		opens:    "Das Interview öffnet am %s. Bitte kommen Sie dann wieder.",
		tooLate:  "Die Zeit, dieses Interview zu beginnen, ist vorbei. Bitte wenden Sie sich an %s für eine neue Einladung.",
		privacy:  "Ihre Antworten gehen an %s. Diese Seite setzt keine Cookies und lädt nichts von anderen Seiten.",
		Draft:    "Was Sie schreiben, bleibt in diesem Browser gespeichert, bis Sie es absenden.",
		Confirm:  "Meine Antworten sind vollständig. Nach dem Absenden kann ich sie nicht mehr ändern.",
		Required: "Bitte beantworten Sie jede Frage und bestätigen Sie, dass Ihre Antworten vollständig sind.",
		Done:     "Vielen Dank. Ihre Antworten sind angekommen.", Closed: "Dieses Interview ist geschlossen.",
		NotFound:     "Diese Einladung gibt es nicht",
		NotFoundHelp: "Bitte prüfen Sie, ob die Adresse vollständig ist, oder fragen Sie das einladende Unternehmen.",
	},
	{
		Lang: "fr", layout: "02/01/2006 à 15:04 UTC",
		Interview: "Entretien", Start: "Commencer", Submit: "Envoyer", Sending: "Envoi en cours…",
		TimeLeft: "Temps restant :", TimeUp: "Le temps est écoulé.",
		greeting:    "Bonjour %s, %s vous invite à un entretien d’environ %d minutes.",
		intro:       "Questions : %d, à répondre par écrit. À partir du début, vous avez %d minutes.",
		startBefore: "Veuillez commencer avant : %s.", submitBefore: "Veuillez envoyer avant : %s.",
		opens:    "L’entretien ouvre le %s. Veuillez revenir à ce moment-là.",
		tooLate:  "Le délai pour commencer cet entretien est passé. Veuillez demander une nouvelle invitation à %s.",
		privacy:  "Vos réponses sont envoyées à %s. Cette page n’utilise pas de cookies et ne charge rien d’autres sites.",
		Draft:    "Ce que vous écrivez reste dans ce navigateur jusqu’à l’envoi.",
		Confirm:  "Mes réponses sont complètes. Je ne pourrai plus les modifier après l’envoi.",
		Required: "Veuillez répondre à chaque question et confirmer que vos réponses sont complètes.",
		Done:     "Merci. Vos réponses sont arrivées.", Closed: "Cet entretien est fermé.",
		NotFound:     "Cette invitation n’existe pas",
		NotFoundHelp: "Veuillez vérifier que l’adresse est complète, ou demandez à l’entreprise qui vous a invité.",
	},
	{
		Lang: "es", layout: "02/01/2006, 15:04 UTC",
		Interview: "Entrevista", Start: "Empezar", Submit: "Enviar", Sending: "Enviando…",
		TimeLeft: "Tiempo restante:", TimeUp: "El tiempo se ha agotado.",
		greeting:    "Hola, %s: %s le invita a una entrevista de unos %d minutos.",
		intro:       "Preguntas: %d, con respuesta por escrito. Desde que empiece tiene %d minutos.",
		startBefore: "Por favor, empiece antes de: %s.", submitBefore: "Por favor, envíe antes de: %s.",
		opens:    "La entrevista se abre el %s. Por favor, vuelva entonces.",
		tooLate:  "El plazo para empezar esta entrevista ha pasado. Por favor, pida una nueva invitación a %s.",
		privacy:  "Sus respuestas se envían a %s. Esta página no usa cookies y no carga nada de otros sitios.",
		Draft:    "Lo que escribe se guarda en este navegador hasta que lo envíe.",
		Confirm:  "Mis respuestas están completas. No podré cambiarlas después de enviarlas.",
		Required: "Por favor, responda a todas las preguntas y confirme que sus respuestas están completas.",
		Done:     "Gracias. Sus respuestas han llegado.", Closed: "Esta entrevista está cerrada.",
		NotFound:     "Esta invitación no existe",
		NotFoundHelp: "Por favor, compruebe que la dirección está completa o pregunte a la empresa que le invitó.",
	},
}

var inviteLanguages = func() language.Matcher {
	tags := make([]language.Tag, len(allInviteTexts))
	for i := range allInviteTexts {
		tags[i] = language.Make(allInviteTexts[i].Lang)
	}
	return language.NewMatcher(tags)
}()

// inviteTextsIn returns the texts in the first of the languages that there are any in, else in English. A language is a
// code, or the value of Accept-Language.
func inviteTextsIn(languages ...string) *inviteTexts {
	_, i := language.MatchStrings(inviteLanguages, languages...)
	return &allInviteTexts[i]
}
