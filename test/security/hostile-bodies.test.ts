import { Type } from '@sinclair/typebox'
import type { LightMyRequestResponse, RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import { adminOnly, argon2Passwords, createOnly, readOnly, userSchemas, type DatabaseAdapter } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { addRoutes, ARTHUR, buildApp, PASSWORD, type TestApp } from '../helpers/build-app.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'

const schemas = userSchemas({
  nick: Type.Optional(Type.String({ maxLength: 40 })),
  meta: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  score: Type.Optional(Type.Number()),
  age: Type.Optional(Type.Integer()),
  rank: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  born: createOnly(Type.Optional(Type.String({ maxLength: 40 }))),
  credits: adminOnly(Type.Integer({ default: 0 })),
  level: readOnly(Type.Integer({ default: 1 }))
})
const BODY_LIMIT = 16_384
const MERLIN = 'merlin@camelot.bt'
const stores: Record<string, { makeStore: () => DatabaseAdapter; errorStyle?: HostileBodyApp['errorStyle'] }> = {
  memory: { makeStore: memory },
  sqlite: { makeStore: () => sqlite(':memory:') },
  'memory, FastAPI style': { makeStore: memory, errorStyle: 'fastapi' }
}
type Variant = (typeof stores)[string]

interface Field {
  type?: string
  anyOf?: Field[]
}
interface Target {
  method: 'POST' | 'PATCH'
  url: string
  headers: Record<string, string>
  valid: Record<string, unknown>
  fields: Record<string, Field>
  key: string
}
interface HostileBodyApp extends TestApp {
  store: WatchedAdapter
  errorStyle: 'fastify' | 'fastapi'
  targets: Target[]
  logins: Target[]
}

/** Creates an application with two users and, for each route with a body, a request that succeeds. */
async function start (
  t: Test,
  { makeStore, errorStyle = 'fastify' }: Variant = { makeStore: memory }
): Promise<HostileBodyApp> {
  const store = watchedAdapter(makeStore())
  const built = await buildApp(t, { adapter: store.adapter, schemas: schemas as never, compatibility: { errorStyle } })
  const { create, bearer, app, tokenOf, routes } = built
  const user = await create({ email: ARTHUR, nick: 'Art' })
  await create({ email: MERLIN, is_superuser: true })
  await app.users.forgotPassword(ARTHUR)
  const reset = await tokenOf('onAfterForgotPassword')
  await app.users.requestVerify(ARTHUR)
  const verify = await tokenOf('onAfterRequestVerify')
  const own = await bearer(ARTHUR)
  const admin = await bearer(MERLIN)

  const valid: Record<string, [Record<string, string>, Record<string, unknown>]> = {
    'POST /auth/register': [{}, { email: 'lancelot@camelot.bt', password: PASSWORD }],
    'POST /auth/jwt/login': [{}, { username: ARTHUR, password: PASSWORD }],
    'POST /auth/cookie/login': [{}, { username: ARTHUR, password: PASSWORD }],
    'POST /auth/jwt/reauthenticate': [own, { password: PASSWORD }],
    'POST /auth/cookie/reauthenticate': [await built.cookie(ARTHUR), { password: PASSWORD }],
    'POST /auth/forgot-password': [{}, { email: ARTHUR }],
    'POST /auth/reset-password': [{}, { token: reset, password: 'excalibur-2' }],
    'POST /auth/request-verify-token': [{}, { email: ARTHUR }],
    'POST /auth/verify': [{}, { token: verify }],
    'PATCH /users/me': [own, {}],
    'PATCH /users/:id': [admin, {}]
  }
  const targets = routes.filter(hasBody).map((route): Target => {
    const key = `${String(route.method)} ${route.url}`
    const known = valid[key]
    if (known === undefined) throw new Error(`${key} takes a body that no test attacks`)
    const { properties } = (route.schema?.body ?? {}) as { properties?: Record<string, Field> }
    return {
      method: route.method as 'POST',
      url: route.url.replace(':id', String(user.id)),
      headers: known[0],
      valid: known[1],
      fields: properties ?? {},
      key
    }
  })
  return { ...built, store, errorStyle, targets, logins: targets.filter(({ key }) => key.endsWith('/login')) }
}

function hasBody ({ schema }: RouteOptions): boolean {
  return schema?.body !== undefined
}

/** Sends hostile requests. Asserts that each gets a 4xx reply and that the store is unchanged. */
async function refuses (
  t: Test,
  { app, store, errorStyle }: HostileBodyApp,
  name: string,
  requests: Iterable<{
    label: string
    target: Target
    payload: string | Buffer
    type?: string | null
    statuses?: readonly number[]
  }>
): Promise<void> {
  await app.users.settled()
  const before = await store.dump()
  const wrong: string[] = []
  let count = 0
  for (const {
    label,
    target: { method, url, headers, key },
    payload,
    type = 'application/json',
    statuses
  } of requests) {
    count++
    const reply = await app.inject({
      method,
      url,
      headers: { ...headers, ...(type === null ? {} : { 'content-type': type }) },
      payload
    })
    const problem = problemOf(reply, errorStyle, statuses)
    if (problem !== null) wrong.push(`${key} ${label}: ${problem}`)
    if ((await store.dump()) !== before) {
      wrong.push(`${key} ${label}: changed the store`)
      break
    }
  }
  await app.users.settled()
  if ((await store.dump()) !== before) wrong.push('the store changed after the replies')
  t.same(wrong, [], `${name}: ${count} requests`)
  t.ok(count > 0, 'at least one request was sent')
}

function problemOf (
  reply: LightMyRequestResponse,
  errorStyle: HostileBodyApp['errorStyle'],
  statuses?: readonly number[]
): string | null {
  const { statusCode } = reply
  const allowed =
    errorStyle === 'fastapi'
      ? statuses?.flatMap((status) => ([400, 415].includes(status) ? [400, 422] : [status]))
      : statuses
  if (allowed === undefined ? statusCode < 400 || statusCode >= 500 : !allowed.includes(statusCode)) {
    return `${statusCode} ${reply.body.slice(0, 200)}`
  }
  const body = reply.json<Record<string, unknown>>()
  if (errorStyle === 'fastapi') {
    return body.detail !== undefined && Object.keys(body).length === 1 ? null : `unclear: ${reply.body.slice(0, 200)}`
  }
  const isClear =
    body.statusCode === statusCode &&
    typeof body.code === 'string' &&
    /^FST_(?:USERS|ERR)_/.test(body.code) &&
    typeof body.message === 'string' &&
    body.detail !== undefined
  return isClear ? null : `unclear: ${reply.body.slice(0, 200)}`
}

const json = (value: unknown): string => JSON.stringify(value)
const LONE = 'pass\ud800word-1'
const FLOOD = '\u0300\u0323'.repeat(50_000)

/** Returns values that are invalid for a field of this type. */
function wrongValues (name: string, field: Field): [string, unknown][] {
  const kinds = new Set((field.anyOf ?? [field]).map(({ type }) => type))
  const values: [string, unknown][] = [
    ['100 kB', 'x'.repeat(100_000)],
    ['a flood of combining marks', FLOOD],
    ['an operator', { $ne: null }],
    ['a pattern', { $regex: '.' }],
    ['an array', ['a@x.org']],
    ['an empty array', []],
    ['deep arrays', new Raw(`${'['.repeat(7900)}${']'.repeat(7900)}`)]
  ]
  if (!kinds.has('object')) values.push(['an object', {}], ['a nested object', { a: { b: { c: [] } } }])
  if (!kinds.has('boolean')) values.push(['true', true], ['false', false])
  if (!kinds.has('integer') && !kinds.has('number')) values.push(['a number', 42], ['zero', 0])
  if (!kinds.has('null')) values.push(['null', null])
  if (!kinds.has('string')) {
    values.push(
      ['text', 'yes'],
      ['a boolean as text', 'true'],
      ['a number as text', '1'],
      ['empty text', ''],
      ['a lone surrogate', LONE],
      ['NUL', 'a\0b']
    )
  }
  if (kinds.has('integer')) {
    values.push(['a fraction', 1.5], ['beyond exact integers', 9007199254740992], ['1e300', 1e300])
  }
  if (['email', 'token', 'username'].includes(name)) {
    values.push(
      ['empty text', ''],
      ['blank', ' '],
      ['NUL', 'king\0arthur@camelot.bt'],
      ['a lone surrogate', 'king\ud800@camelot.bt'],
      ['a low surrogate', '\udc00'],
      ['SQL', "' OR 1=1 --"],
      ['null as text', 'null']
    )
  }
  if (name === 'password') {
    values.push(
      ['empty text', ''],
      ['a lone surrogate', LONE],
      ['a low surrogate', `${PASSWORD}\udfff`],
      ['1025 bytes', 'x'.repeat(1025)],
      ['1026 bytes of two', '\u0323'.repeat(513)]
    )
  }
  if (name === 'nick' || name === 'born') values.push(['a lone surrogate', 'a\ud800b'], ['NUL', 'a\0b'])
  if (name === 'nick') values.push(['too long', 'x'.repeat(41)])
  if (name === 'meta') {
    values.push(
      ['a nested lone surrogate', { a: [{ b: '\ud800' }] }],
      ['a lone surrogate as a key', { '\udc00': 1 }],
      ['a nested NUL', { a: { b: 'x\0' } }],
      ['NUL as a key', { 'a\0': 1 }],
      ['16 kB of nested arrays', new Raw(`{"a":${'['.repeat(8000)}${']'.repeat(8000)}}`)],
      ['deep objects', new Raw(`${'{"a":'.repeat(2500)}1${'}'.repeat(2500)}`)],
      ['1000 levels', new Raw(`{"a":${'['.repeat(1000)}${']'.repeat(1000)}}`)]
    )
  }
  // both routes accept a body without these fields
  return values.filter(([label]) => !(name === 'meta' && ['an operator', 'a pattern'].includes(label)))
}

/** FastAPI accepts some strings and numbers as booleans, and does not read JSON bodies of logins. */
function isLax ({ errorStyle }: HostileBodyApp, name: string, label: string): boolean {
  return (
    errorStyle === 'fastapi' &&
    name.startsWith('is_') &&
    ['text', 'a boolean as text', 'a number as text', 'a number', 'zero'].includes(label)
  )
}

/** Returns JSON text that is nested more deeply than JSON.stringify allows. */
class Raw {
  constructor (readonly text: string) {}
}

function stringify (target: Target, name: string, value: unknown): string {
  if (!(value instanceof Raw)) return json({ ...target.valid, [name]: value })
  return json({ ...target.valid, [name]: '%' }).replace('"%"', value.text)
}

for (const [storeName, variant] of Object.entries(stores)) {
  t.test(
    `INP-01, INP-04, INP-07, INP-09: a wrong value in any field of any route is refused and changes nothing (${storeName})`,
    async (t) => {
      const round = await start(t, variant)
      for (const target of round.targets) {
        t.ok(Object.keys(target.fields).length > 0, `${target.key} has fields`)
        const requests = Object.entries(target.fields).flatMap(([name, field]) =>
          wrongValues(name, field)
            .filter(([label]) => !isLax(round, name, label))
            .map(([label, value]) => {
              const payload = stringify(target, name, value)
              return {
                label: `${name} = ${label}`,
                target,
                payload,
                statuses: Buffer.byteLength(payload) > BODY_LIMIT ? [413] : [400]
              }
            })
        )
        await refuses(t, round, target.key, requests)
      }
    }
  )

  t.test(
    `INP-05: keys such as __proto__ are refused and change no prototype, also in JSON fields (${storeName})`,
    async (t) => {
      const round = await start(t, variant)
      const keys = [
        '"__proto__":{"polluted":1,"is_superuser":true}',
        '"constructor":{"prototype":{"polluted":1}}',
        '"\\u005f_proto__":{"polluted":1}',
        '"__proto__":null',
        '"x":{"y":[{"__proto__":{"polluted":1}}]}',
        '"x":{"constructor":{"prototype":{"is_superuser":true}}}',
        '"meta":{"__proto__":{"polluted":1}}',
        '"meta":{"a":[{"constructor":{"prototype":{"polluted":1}}}]}'
      ]
      const requests = round.targets.flatMap((target) =>
        keys.map((key) => {
          const rest = json(target.valid).slice(1)
          return { label: key, target, payload: `{${key}${rest === '}' ? '' : ','}${rest}`, statuses: [400] }
        })
      )
      await refuses(t, round, 'prototype keys', requests)
      t.equal(({} as Record<string, unknown>)['polluted'], undefined)
      t.equal(({} as Record<string, unknown>)['is_superuser'], undefined)
    }
  )

  t.test(`INP-03, INP-05: broken JSON, invalid bytes and JSON that is not an object are refused (${storeName})`, async (t) => {
    const round = await start(t, variant)
    const bodies: Record<string, string | Buffer> = {
      'an open object': '{',
      'an open string': '{"email":"',
      'a trailing comma': '{"email":"a@x.org",}',
      'single quotes': "{'email':'a@x.org'}",
      'two values': '{}{}',
      'trailing text': '{"a":1} x',
      NaN: '{"email":NaN}',
      'a comment': '{/**/}',
      'the root null': 'null',
      'the root array': '[]',
      'the root true': 'true',
      'the root 1': '1',
      'the root text': '"{}"',
      blanks: '   ',
      NUL: '\0',
      'nested arrays': '['.repeat(8000) + ']'.repeat(8000),
      'open arrays': '['.repeat(16_000),
      'nested objects': '{"a":'.repeat(2700) + '1' + '}'.repeat(2700) + ' '.repeat(2) + ']',
      'bytes that are not UTF-8': Buffer.concat([
        Buffer.from('{"email":"'),
        Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
        Buffer.from('@x.org"}')
      ]),
      'an overlong form': Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]),
      'a surrogate in UTF-8': Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
      'UTF-16': Buffer.from('{"email":"a@x.org","password":"guinevere-1"}', 'utf16le'),
      'only a BOM': '\ufeff',
      'two BOMs': '\ufeff\ufeff{}'
    }
    const requests = round.targets.flatMap((target) =>
      Object.entries(bodies).map(([label, payload]) => ({ label, target, payload, statuses: [400] }))
    )
    await refuses(t, round, 'broken bodies', requests)
    const large = round.targets.flatMap((target) =>
      [16_385, 1_100_000].map((size) => ({
        label: `${size} bytes`,
        target,
        payload: json({ ...target.valid, pad: 'x'.repeat(size - json({ ...target.valid, pad: '' }).length) }),
        statuses: [413]
      }))
    )
    await refuses(t, round, 'INP-08: bodies over 16 KiB', large)
    // a reauthentication needs no body
    const demanding = round.targets.filter(({ key }) => !key.endsWith('/reauthenticate'))
    const empty = demanding.map((target) => ({ label: 'an empty body', target, payload: '', statuses: [400] }))
    await refuses(t, round, 'empty bodies', empty)
    await refuses(
      t,
      round,
      'empty bodies without a type',
      empty.map((request) => ({ ...request, type: null }))
    )
  })

  t.test(`INP-02, CSRF-04: a body with another content type is refused and never parsed (${storeName})`, async (t) => {
    const round = await start(t, variant)
    const types: (string | null)[] = [
      'text/plain',
      'text/plain;charset=UTF-8',
      'application/json\ta',
      'application/jsonx',
      'application/json, text/plain',
      'application/vnd.api+json',
      'application/ld+json',
      'text/json',
      'application/*',
      '*/*',
      'json',
      'application',
      '/',
      ';',
      ' ',
      'application/xml',
      'application/octet-stream',
      'application/json\u0085',
      'x'.repeat(10_000),
      null
    ]
    const writable = round.targets.filter(({ valid }) => Object.keys(valid).length > 0)
    const requests = [
      ...writable,
      ...round.targets
        .filter(({ method }) => method === 'PATCH')
        .map((target) => ({ ...target, valid: { nick: 'changed' } }))
    ]
    await refuses(
      t,
      round,
      'odd types',
      requests.flatMap((target) =>
        types.map((type) => ({
          label: String(type).slice(0, 40),
          target,
          payload: json(target.valid),
          type,
          statuses: [415]
        }))
      )
    )
    const forms = ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']
    const jsonOnly = requests.filter(({ key }) => !/\/(?:login|reauthenticate)$/.test(key))
    await refuses(
      t,
      round,
      'forms outside login',
      jsonOnly.flatMap((target) =>
        forms.map((type) => ({ label: type, target, payload: json(target.valid), type, statuses: [415] }))
      )
    )
    await refuses(
      t,
      round,
      'JSON that is called a form',
      round.logins.flatMap((target) =>
        forms.map((type) => ({ label: type, target, payload: json(target.valid), type, statuses: [400] }))
      )
    )
  })

  t.test(`INP-02: a body is validated for every spelling of its content type (${storeName})`, async (t) => {
    const round = await start(t, variant)
    const types = [
      'application/json',
      'APPLICATION/JSON',
      'Application/Json ; Charset=UTF-8',
      'application/json;charset=utf-16',
      'application/json;charset="x',
      'application/json;',
      'application/json; boundary=x; q'
    ]
    await refuses(
      t,
      round,
      'spellings',
      round.targets.flatMap((target) =>
        types.flatMap((type) =>
          Object.keys(target.fields).map((name) => ({
            label: `${type} ${name}`,
            target,
            payload: json({ ...target.valid, [name]: [1] }),
            type,
            statuses: [400, 415]
          }))
        )
      )
    )
  })

  t.test(`INP-01, INP-03, INP-05: hostile login forms are refused (${storeName})`, async (t) => {
    const round = await start(t, variant)
    const good = `username=${encodeURIComponent(ARTHUR)}&password=${PASSWORD}`
    const forms: Record<string, string | Buffer> = {
      nothing: '',
      'no password': `username=${ARTHUR}`,
      'an empty password': `username=${ARTHUR}&password=`,
      'broken percent': 'username=%&password=%zz%2',
      'bytes that are not UTF-8': 'username=%ff%fe&password=%c3%28',
      'raw bytes': Buffer.concat([
        Buffer.from('username='),
        Buffer.from([0xff, 0x00, 0x80]),
        Buffer.from('&password=x')
      ]),
      'a repeated name': `${good}&username=${MERLIN}`,
      'a repeated password': `password=wrong&${good}`,
      'the same twice': `${good}&${good}`,
      brackets: `username[]=${ARTHUR}&password[$ne]=x`,
      'an operator': 'username[$ne]=x&password[$ne]=x',
      'many fields': Array.from({ length: 3000 }, (_, i) => `${i.toString(36)}=`).join('&'),
      'many empty fields': '&'.repeat(16_000),
      'many equal fields': 'a=&'.repeat(5000),
      'another grant': `${good}&grant_type=client_credentials`,
      'a long password': `username=${ARTHUR}&password=${'x'.repeat(1025)}`,
      'a long name': `username=${'x'.repeat(321)}&password=x`,
      'a prototype key': `__proto__[username]=${ARTHUR}&__proto__=x&constructor=y`,
      'a NUL': `username=${ARTHUR}%00&password=${PASSWORD}`,
      'combining marks': `username=${ARTHUR}&password=${'%cc%80%cc%a3'.repeat(250)}`,
      semicolons: good.replace('&', ';'),
      JSON: json({ username: ARTHUR, password: PASSWORD })
    }
    const type = 'application/x-www-form-urlencoded'
    await refuses(
      t,
      round,
      'forms',
      round.logins.flatMap((target) =>
        Object.entries(forms).map(([label, payload]) => ({ label, target, payload, type, statuses: [400] }))
      )
    )
    await refuses(
      t,
      round,
      'a large form',
      round.logins.map((target) => ({
        label: '100 kB',
        target,
        payload: `${good}&pad=${'x'.repeat(100_000)}`,
        type,
        statuses: [413]
      }))
    )
    t.equal(({} as Record<string, unknown>)['username'], undefined)
  })

  t.test(`INP-01, INP-03: hostile multipart bodies are refused (${storeName})`, async (t) => {
    const round = await start(t, variant)
    const part = (name: string, value: string, more = '', headers = ''): string =>
      `--x\r\nContent-Disposition: form-data; name="${name}"${more}\r\n${headers}\r\n${value}\r\n`
    const good = part('username', ARTHUR) + part('password', PASSWORD)
    const bodies: Record<string, string | Buffer> = {
      nothing: '',
      'only an end': '--x--\r\n',
      'no boundary in it': 'username=x',
      'another boundary': good.replaceAll('--x', '--y') + '--y--\r\n',
      'cut in a header': '--x\r\nContent-Disposition: form-data; name="user',
      'cut before the end': part('username', ARTHUR) + part('password', PASSWORD).slice(0, -3),
      'a file for the password':
        part('username', ARTHUR) + part('password', PASSWORD, '; filename="a.txt"') + '--x--\r\n',
      'a file beside them':
        good + part('avatar', 'GIF89a', '; filename="a.gif"', 'Content-Type: image/gif\r\n') + '--x--\r\n',
      octets:
        part('username', ARTHUR) +
        part('password', PASSWORD, '', 'Content-Type: application/octet-stream\r\n') +
        '--x--\r\n',
      'a repeated name': good + part('username', MERLIN) + '--x--\r\n',
      'a nested part':
        part('username', ARTHUR) +
        part(
          'password',
          '--y\r\nContent-Disposition: form-data; name="password"\r\n\r\nguinevere-1\r\n--y--',
          '',
          'Content-Type: multipart/mixed; boundary=y\r\n'
        ) +
        '--x--\r\n',
      'many parts': Array.from({ length: 60 }, (_, i) => part(`f${i}`, 'x')).join('') + good + '--x--\r\n',
      'a long value': part('username', ARTHUR) + part('password', PASSWORD + 'x'.repeat(5000)) + '--x--\r\n',
      'a prototype key': part('__proto__', '{"username":"x"}') + part('constructor', 'x') + '--x--\r\n',
      'no name': '--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n',
      'no headers': '--x\r\n\r\nx\r\n--x--\r\n',
      'a broken header': '--x\r\nContent-Disposition\r\n\r\nx\r\n--x--\r\n',
      'many headers': `--x\r\n${'A: b\r\n'.repeat(500)}Content-Disposition: form-data; name="username"\r\n\r\nx\r\n--x--\r\n`,
      'an unknown charset':
        part('username', ARTHUR, '', 'Content-Type: text/plain; charset=klingon\r\n') +
        part('password', 'wrong', '', 'Content-Type: text/plain; charset=utf-7\r\n') +
        '--x--\r\n',
      'a lone surrogate': Buffer.concat([
        Buffer.from(part('username', ARTHUR) + '--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n'),
        Buffer.from([0xed, 0xa0, 0x80]),
        Buffer.from('\r\n--x--\r\n')
      ]),
      'NUL bytes': Buffer.concat([Buffer.from('--x\r\n'), Buffer.alloc(3000), Buffer.from('\r\n--x--\r\n')]),
      'only boundaries': '--x\r\n'.repeat(3000)
    }
    const types = ['multipart/form-data; boundary=x']
    await refuses(
      t,
      round,
      'multipart',
      round.logins.flatMap((target) =>
        types.flatMap((type) =>
          Object.entries(bodies).map(([label, payload]) => ({ label, target, payload, type, statuses: [400] }))
        )
      )
    )
    const odd = [
      'multipart/form-data',
      'multipart/form-data;',
      'multipart/form-data; boundary',
      'multipart/form-data; boundary=',
      'multipart/form-data; boundary=""',
      `multipart/form-data; boundary=${'b'.repeat(5000)}`,
      'multipart/form-data; boundary=\u00ff',
      'multipart/form-data; boundary=*',
      'multipart/form-data; boundary=z; boundary=y',
      "multipart/form-data; boundary*=utf-8''%ff"
    ]
    await refuses(
      t,
      round,
      'odd boundaries',
      round.logins.flatMap((target) =>
        odd.map((type) => ({
          label: type.slice(0, 60),
          target,
          payload: good + '--x--\r\n',
          type,
          statuses: [400, 415]
        }))
      )
    )
    await refuses(
      t,
      round,
      'other multipart types',
      round.logins.flatMap((target) =>
        ['multipart/mixed; boundary=x', 'multipart/form-datax; boundary=x', 'multipart/related; boundary=x'].map(
          (type) => ({ label: type, target, payload: good + '--x--\r\n', type, statuses: [415] })
        )
      )
    )
    await refuses(
      t,
      round,
      'a large upload',
      round.logins.map((target) => ({
        label: '100 kB',
        target,
        payload: good + part('a', 'x'.repeat(100_000)) + '--x--\r\n',
        type: types[0] ?? '',
        statuses: [413]
      }))
    )
  })

  t.test(
    `REG-01, INP-01, CFG-07, RST-07: unknown and privileged keys have no effect, whatever their values are (${storeName})`,
    async (t) => {
      const { send, store, bearer, app } = await start(t, variant)
      const extra = {
        id: 'x',
        hashed_password: 'x',
        session_stamp: 'x',
        is_superuser: true,
        is_verified: true,
        is_active: false,
        isSuperuser: true,
        role: 'admin',
        user: { is_superuser: true },
        created_at: 0,
        oauth_accounts: [{}],
        level: 99,
        credits: 99,
        user_id: 'x',
        current_password: 'x'
      }
      const reply = await send('POST', '/auth/register', { email: 'mordred@camelot.bt', password: PASSWORD, ...extra })
      t.equal(reply.statusCode, 201)
      const headers = await bearer('mordred@camelot.bt')
      t.equal((await send('PATCH', '/users/me', extra, headers)).statusCode, 200)
      const row = (await store.rows('user')).find(({ email }) => email === 'mordred@camelot.bt')
      t.match(row, { is_superuser: false, is_verified: false, is_active: true, level: 1, credits: 0 })
      t.match(row, { id: /^[0-9a-f-]{36}$/, hashed_password: /^\$argon2id\$/, session_stamp: /^[\w-]{22}$/ })
      t.same(
        Object.keys(row ?? {}).filter((key) =>
          ['role', 'user', 'oauth_accounts', 'user_id', 'created_at', 'isSuperuser', 'current_password'].includes(key)
        ),
        []
      )

      await app.users.forgotPassword(ARTHUR)
      const before = await store.rows('user')
      t.equal(
        (
          await send('POST', '/auth/reset-password', {
            token: 'x',
            password: PASSWORD,
            email: MERLIN,
            id: 'x',
            user_id: 'x'
          })
        ).statusCode,
        400
      )
      t.same(await store.rows('user'), before)
    }
  )

  t.test(`INP-03: if a key occurs twice, the validated value is the one that is used (${storeName})`, async (t) => {
    const { app, store, errorStyle } = await start(t, variant)
    const refused = errorStyle === 'fastapi' ? 422 : 400
    const post = async (payload: string): Promise<number> =>
      (
        await app.inject({
          method: 'POST',
          url: '/auth/register',
          headers: { 'content-type': 'application/json' },
          payload
        })
      ).statusCode
    const before = await store.dump()
    t.equal(await post(`{"email":"one@camelot.bt","email":["two@camelot.bt"],"password":"${PASSWORD}"}`), refused)
    t.equal(await post(`{"email":"one@camelot.bt","password":"${PASSWORD}","password":1}`), refused)
    t.equal(await store.dump(), before)
    t.equal(await post(`{"email":{"$ne":1},"email":"two@camelot.bt","password":"${PASSWORD}"}`), 201)
    t.ok(await app.users.getByEmail('two@camelot.bt'))
    t.equal(await app.users.getByEmail('one@camelot.bt'), null)
  })
}

t.test('INP-03: a byte order mark before valid JSON does not change the reply', async (t) => {
  const { app, store } = await start(t)
  const reply = await app.inject({
    method: 'POST',
    url: '/auth/register',
    headers: { 'content-type': 'application/json' },
    payload: `\ufeff${json({ email: 'gawain@camelot.bt', password: PASSWORD })}`
  })
  t.equal(reply.statusCode, 201)
  t.equal((await store.rows('user')).length, 3)
})

t.test(
  'PW-05, PW-06, EML-06: text is normalised only after the check of its length, so millions of combining marks cost nothing',
  async (t) => {
    const longest: Record<string, number> = {}
    const text: { normalize: typeof String.prototype.normalize } = String.prototype
    const { normalize } = text
    t.teardown(() => {
      text.normalize = normalize
    })
    const round = await start(t)
    let length = 0
    text.normalize = function (this: string, form?: string) {
      length = Math.max(length, this.length)
      return normalize.call(this, form)
    }
    const flood = '\u0300\u0323'.repeat(2500)
    for (const { key, fields, method, url, headers, valid } of round.targets) {
      for (const name of Object.keys(fields)) {
        length = 0
        const reply = await round.app.inject({ method, url, headers, payload: { ...valid, [name]: flood } })
        t.equal(reply.statusCode, 400, `${key} ${name}`)
        longest[`${key} ${name}`] = length
      }
    }
    t.same(
      Object.entries(longest).filter(([, characters]) => characters > 1024),
      []
    )
  }
)

t.test('PW-05, PW-11: other requests are answered while the longest valid password is hashed', async (t) => {
  const { app, login, register } = await buildApp(t, { passwords: argon2Passwords() }, (app) => {
    addRoutes(app)
    app.get('/cheap', async () => 'ok')
  })
  await register()
  const order: string[] = []
  const flood = login('jwt', ARTHUR, '\u0300\u0323'.repeat(256)).then(({ statusCode }) => {
    order.push(`flood ${statusCode}`)
  })
  const cheap = app.inject('/cheap').then(({ statusCode }) => {
    order.push(`cheap ${statusCode}`)
  })
  await Promise.all([flood, cheap])
  t.same(order, ['cheap 200', 'flood 400'])
})
