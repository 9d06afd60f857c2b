// Tests of the client begin here.
