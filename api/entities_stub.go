package api

// Routes of resources whose files are still to come.

func (s *server) jobRoutes() []route       { return nil }
func (s *server) candidateRoutes() []route { return nil }
func (s *server) agentRoutes() []route     { return nil }
func (s *server) interviewRoutes() []route { return nil }
func (s *server) callbackRoutes() []route  { return nil }
func (s *server) inviteRoutes() []route    { return nil }
