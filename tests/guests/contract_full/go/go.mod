module contract_full

go 1.24

require nereid v0.0.0

replace nereid => ../../../../sdk/go
