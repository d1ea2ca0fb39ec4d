import { existsSync } from 'node:fs'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import t, { type Test } from 'tap'

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium'
const SWITCHES = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/**
 * A page of a fresh browser. `faults` are what it complains of: statuses of refused calls as such, and errors of
 * scripts.
 */
export interface OpenedPage {
  page: Page
  context: BrowserContext
  faults: string[]
}

/** Why a test of the browser cannot run, for tap's `skip`. Fails where every service must answer. */
export function skipWithoutChromium (): string | false {
  const missing = existsSync(EXECUTABLE) ? false : `${EXECUTABLE} is not installed: apt-get install chromium`
  if (missing !== false && process.env.REQUIRE_SERVICES === '1') t.fail(missing)
  return missing
}

export async function openPage (t: Test, viewport: { width: number; height: number }): Promise<OpenedPage> {
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    headless: true,
    args: SWITCHES,
    timeout: 120_000
  })
  t.teardown(() => browser.close())
  const context = await browser.newContext({ viewport })
  context.setDefaultTimeout(60_000) // of a loaded machine
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', (message) => {
    const [, status] = /the server responded with a status of (\d+)/.exec(message.text()) ?? []
    if (message.type() === 'error' || message.type() === 'warning') faults.push(status ?? message.text())
  })
  page.on('pageerror', ({ message }) => {
    faults.push(message)
  })
  return { page, context, faults }
}
