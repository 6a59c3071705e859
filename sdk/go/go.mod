module nereid

go 1.24
