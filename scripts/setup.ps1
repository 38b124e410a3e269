<#
.SYNOPSIS
Set up and start Meshwork with Docker, on Windows.
.DESCRIPTION
powershell -ExecutionPolicy Bypass -File scripts\setup.ps1 [PROFILE ...]
Profiles: app (what is started without any), pgadmin, s3, monitoring, database-only. Safe to run again.
#>
[CmdletBinding()]
param([Parameter(ValueFromRemainingArguments = $true)][string[]]$Profiles = @())

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Set-Location -LiteralPath (Split-Path -Parent $PSScriptRoot)

function Exit-Setup([string]$Message) {
    [Console]::Error.WriteLine("setup: $Message")
    exit 1
}

# Letters and digits, which need no quoting anywhere.
function Get-RandomText([int]$Length) {
    $letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
    $generator = [System.Security.Cryptography.RandomNumberGenerator]::Create()
    $secret = New-Object System.Text.StringBuilder
    $byte = New-Object byte[] 1
    while ($secret.Length -lt $Length) {
        $generator.GetBytes($byte)
        if ($byte[0] -lt 248) { [void]$secret.Append($letters[$byte[0] % 62]) } # 4 * 62: every letter as likely
    }
    $generator.Dispose()
    $secret.ToString()
}

# What .env says last, as Compose reads it.
function Get-Setting([string]$Name) {
    $found = @(Get-Content -LiteralPath .env | Where-Object { $_ -cmatch "^$Name=" })
    if ($found.Count) { $found[-1].Substring($Name.Length + 1) } else { '' }
}

# Whether a program succeeds. Windows PowerShell takes a word on its standard error for an error of ours.
function Test-Program([scriptblock]$Program) {
    $ErrorActionPreference = 'Continue'
    & $Program 2>&1 | Out-Null
    $LASTEXITCODE -eq 0
}

if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
    Exit-Setup 'needs Docker: install Docker Desktop, start it, and open a new window'
}
if (-not (Test-Program { docker compose version })) { Exit-Setup 'needs Docker Compose v2 (the command: docker compose)' }
if (-not (Test-Program { docker info })) { Exit-Setup 'Docker does not answer: start Docker Desktop' }

if (-not (Test-Path -LiteralPath .env)) {
    $lines = Get-Content -LiteralPath .env.example -Encoding UTF8 | ForEach-Object {
        $_ -creplace '^#?SECRET_KEY=.*', "SECRET_KEY=$(Get-RandomText 64)" `
            -creplace '^#?POSTGRES_PASSWORD=.*', "POSTGRES_PASSWORD=$(Get-RandomText 32)" `
            -creplace '^#?TOOLS_PASSWORD=.*', "TOOLS_PASSWORD=$(Get-RandomText 24)" `
            -creplace '^#?COMPOSE_PROFILES=.*', 'COMPOSE_PROFILES=app'
    }
    # Line ends and encoding as on Linux: a container reads it.
    [System.IO.File]::WriteAllText((Join-Path (Get-Location).Path '.env'), ($lines -join "`n") + "`n")
    Write-Output 'setup: made .env, with secrets of its own'
}

if ($Profiles.Count) { $chosen = $Profiles -join ',' } else { $chosen = Get-Setting 'COMPOSE_PROFILES' }
if (-not $chosen) { $chosen = 'app' }
$env:COMPOSE_PROFILES = $chosen
$runs = $chosen -split ','

$needed = @('SECRET_KEY', 'POSTGRES_PASSWORD')
if ($runs -ccontains 'pgadmin' -or $runs -ccontains 'monitoring') { $needed += 'TOOLS_PASSWORD' }
if ($runs -ccontains 's3') { $needed += 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY' }
$missing = @($needed | Where-Object { -not (Get-Setting $_) } | ForEach-Object { "$_=$(Get-RandomText 32)" })
if ($missing.Count) {
    Exit-Setup ".env stays as it is, but $chosen needs more: add these lines, or your own`n$($missing -join "`n")"
}

if ($runs -ccontains 'app') {
    docker compose build
    if ($LASTEXITCODE -ne 0) { Exit-Setup 'the image could not be built: see above' }
}
docker compose up --detach --wait
if ($LASTEXITCODE -ne 0) { Exit-Setup 'not everything has started: docker compose ps; docker compose logs' }

$port = Get-Setting 'PORT'
if (-not $port) { $port = '8000' }
$postgres = Get-Setting 'POSTGRES_PORT'
if (-not $postgres) { $postgres = '5432' }
Write-Output ''
if ($runs -ccontains 'app') {
    Write-Output "  API          http://localhost:$port"
    Write-Output "  Reference    http://localhost:$port/docs"
    Write-Output "  Admin        http://localhost:$port/admin/"
    Write-Output '  First admin  docker compose exec web python manage.py createadmin --email E --password P'
}
if ($runs -ccontains 'database-only') {
    Write-Output "  Postgres     localhost:$postgres, database and user meshwork, password POSTGRES_PASSWORD in .env"
}
if ($runs -ccontains 'pgadmin') {
    Write-Output '  pgAdmin      http://localhost:5050, TOOLS_EMAIL or admin@example.com, TOOLS_PASSWORD in .env'
}
if ($runs -ccontains 'monitoring') { Write-Output '  Grafana      http://localhost:3000, admin, TOOLS_PASSWORD in .env' }
if ($runs -ccontains 's3') {
    Write-Output '  S3           http://localhost:7070, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in .env'
}
