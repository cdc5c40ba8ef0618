"""What tests of several files share: servers, stand-ins, sample runs. No tests in here."""
