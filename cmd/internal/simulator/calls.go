package simulator

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// remember is how long an ended call is kept, so that a repeated POST /calls and an interview's second call, hours
// later, still find it. Removing it afterwards bounds the memory of a long-running simulator.
const remember = 24 * time.Hour

// The last digits of a telephone number determine the course of a call. Every other number answers.
const (
	endsNoAnswer    = "0001" // no answer
	endsTechnical   = "0002" // the provider fails
	endsNeverEnds   = "0003" // answered, then no further call-back
	endsSecondCall  = "0004" // no answer at an interview's first call; the next is answered
	statusFailed    = "FAILED"
	statusCompleted = "COMPLETED"
)

type callRequest struct {
	CallAttemptID   string   `json:"callAttemptId"`
	InterviewID     string   `json:"interviewId"`
	PhoneNumber     string   `json:"phoneNumber"`
	Language        string   `json:"language"`
	Questions       []string `json:"questions"`
	DurationMinutes int      `json:"durationMinutes"`
	CallbackURL     string   `json:"callbackUrl"`
}

// callStatus is the body of a call-back.
type callStatus struct {
	Status       string     `json:"status"`
	CalledAt     *time.Time `json:"calledAt,omitempty"`
	ReasonCode   string     `json:"reasonCode,omitempty"`
	Message      string     `json:"message,omitempty"`
	Duration     int        `json:"duration,omitempty"` // seconds
	RecordingURL string     `json:"recordingUrl,omitempty"`
	Transcript   []line     `json:"transcript,omitempty"`
}

// line is one thing said; Role is "agent" or "candidate".
type line struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type call struct {
	id     string
	hangUp context.CancelFunc
}

// startCall responds 202 with the call's id and simulates the call in the background. A repeated attempt is the same
// call.
func (s *Simulator) startCall(w http.ResponseWriter, r *http.Request) {
	var req callRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "body is not a call: "+err.Error())
		return
	}
	if req.CallAttemptID == "" || req.PhoneNumber == "" || req.CallbackURL == "" {
		refuse(w, http.StatusBadRequest, "callAttemptId, phoneNumber and callbackUrl are required")
		return
	}
	c := s.place(req, "http://"+r.Host)
	if c == nil {
		refuse(w, http.StatusServiceUnavailable, "the simulator is stopping")
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"callId": c.id})
}

// place returns the attempt's call and starts it if it is new. It returns nil after Close.
func (s *Simulator) place(req callRequest, base string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.calls[req.CallAttemptID]; known {
		return c
	}
	number := req.InterviewID + " " + req.PhoneNumber
	first := s.dialed[number] == 0
	ctx, hangUp := context.WithCancel(s.ctx)
	c := &call{id: uuid.NewString(), hangUp: hangUp}
	if !s.background(func() {
		s.play(ctx, req, c.id, base, first)
		hangUp()
		time.AfterFunc(remember, func() { s.forget(req.CallAttemptID, number) })
	}) {
		hangUp()
		return nil
	}
	s.calls[req.CallAttemptID] = c
	s.dialed[number]++
	return c
}

// hangUp ends the call: no further call-back is sent. The response for an unknown call is the same, as it is not in
// progress either.
func (s *Simulator) hangUp(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if c, known := s.calls[r.PathValue("callAttemptId")]; known {
		c.hangUp()
	}
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Simulator) forget(attemptID, number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, attemptID)
	delete(s.dialed, number)
}

func (s *Simulator) play(ctx context.Context, req callRequest, callID, base string, first bool) {
	if err := s.playSteps(ctx, req, callID, base, first); err != nil {
		s.opts.Logger.WarnContext(ctx, "simulator: call dropped", "call_attempt_id", req.CallAttemptID, "error", err)
	}
}

// playSteps simulates one call: ringing, then a failure or an answer, talk and completion, as the number determines.
func (s *Simulator) playSteps(ctx context.Context, req callRequest, callID, base string, first bool) error {
	if err := sleep(ctx, s.opts.CallAfter); err != nil {
		return err
	}
	ends := func(with string) bool { return strings.HasSuffix(req.PhoneNumber, with) }
	switch {
	case ends(endsNoAnswer), ends(endsSecondCall) && first:
		return s.callBack(ctx, req.CallbackURL, callStatus{Status: statusFailed, ReasonCode: "NO_ANSWER"})
	case ends(endsTechnical):
		return s.callBack(ctx, req.CallbackURL,
			callStatus{Status: statusFailed, ReasonCode: "TECHNICAL_ERROR", Message: "simulated: technical failure"})
	}
	calledAt := time.Now().UTC()
	if err := s.callBack(ctx, req.CallbackURL, callStatus{Status: "IN_PROGRESS", CalledAt: &calledAt}); err != nil {
		return err
	}
	if ends(endsNeverEnds) {
		return nil
	}
	if err := sleep(ctx, s.opts.Talk); err != nil {
		return err
	}
	return s.callBack(ctx, req.CallbackURL, callStatus{
		Status:       statusCompleted,
		Duration:     int(math.Ceil(s.opts.Talk.Seconds())),
		RecordingURL: base + "/recordings/" + callID + ".wav",
		Transcript:   converse(req.Questions),
	})
}

// converse answers every question with its own words, so that an analysis finds skills in it.
func converse(questions []string) []line {
	if len(questions) == 0 {
		questions = []string{"Tell me about your work of the last year."}
	}
	replies := []string{
		"You asked: %s I have done that for some years, in two teams, and can describe one case from start to end.",
		"You asked: %s Yes, and most recently last month; I would measure first and then change one thing at a time.",
		"You asked: %s Only a little so far, but I know where to look and whom to ask.",
	}
	said := []line{}
	for i, q := range questions {
		said = append(said, line{"agent", q}, line{"candidate", fmt.Sprintf(replies[i%len(replies)], q)})
	}
	return append(said, line{"agent", "Thank you, that was the last question."})
}

// recording serves a second of silence (WAV, mono, 8 kHz, 8 bits), so that each recordingUrl works.
func recording(w http.ResponseWriter, _ *http.Request) {
	const rate = 8000
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	binary.LittleEndian.PutUint32(head[4:], 36+rate)
	head = binary.LittleEndian.AppendUint32(head, rate)
	head = binary.LittleEndian.AppendUint32(head, rate)
	head = append(head, 1, 0, 8, 0, 'd', 'a', 't', 'a')
	head = binary.LittleEndian.AppendUint32(head, rate)
	samples := make([]byte, rate)
	for i := range samples {
		samples[i] = 0x80 // the middle of an unsigned 8-bit sample
	}
	w.Header().Set("Content-Type", "audio/wav")
	_, _ = w.Write(append(head, samples...))
}
