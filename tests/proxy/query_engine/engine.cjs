#!/usr/bin/env node
// Prisma's query engine behind the command line and the HTTP of its binary.
//
// The binary comes from a server of Prisma's own. The same engine is in the npm registry as
// WebAssembly (@prisma/client, same version); what it lacks is the GraphQL protocol that Prisma's
// Python client speaks, so queries are translated to its JSON protocol, and answers back.
'use strict'

const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')

if (process.argv.includes('--version')) {
  console.log('query-engine 393aa359c9ad4a4bb28630fb5613f9c281cde053')
  process.exit(0)
}

const { bindAdapter } = require('@prisma/driver-adapter-utils')
const { PrismaPg } = require('@prisma/adapter-pg')
const { parse } = require('graphql')
const { Pool } = require('pg')

const NO_TRACE = '{}'
const OPERATION = new RegExp(
  '^(findMany|findFirst|findUnique|createOne|createMany|updateOne|updateMany|upsertOne|deleteOne' +
    '|deleteMany|aggregate|groupBy|queryRaw|executeRaw)(.*?)(OrThrow)?$',
)

const schema = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8')
const jsonFields = new Map()
for (const [, model, body] of schema.matchAll(/^model (\w+) \{([^]*?)^\}/gm)) {
  jsonFields.set(model, new Set(Array.from(body.matchAll(/^\s*(\w+)\s+Json\b/gm), (m) => m[1])))
}

function valueOf(node, json) {
  switch (node.kind) {
    case 'ListValue':
      return node.values.map((value) => valueOf(value, json))
    case 'ObjectValue':
      return Object.fromEntries(
        node.fields.map(({ name, value }) => [
          name.value,
          json.has(name.value) && value.kind === 'StringValue'
            ? { $type: 'Json', value: value.value }
            : valueOf(value, json),
        ]),
      )
    case 'NullValue':
      return null
    case 'IntValue':
    case 'FloatValue':
      return Number(node.value)
    default:
      return node.value
  }
}

function argumentsOf(field, json) {
  return Object.fromEntries((field.arguments ?? []).map((a) => [a.name.value, valueOf(a.value, json)]))
}

function selectionOf(field, json) {
  const selected = (field.selectionSet?.selections ?? []).map((inner) => [
    inner.name.value,
    inner.selectionSet
      ? { arguments: argumentsOf(inner, json), selection: selectionOf(inner, json) }
      : true,
  ])
  return Object.fromEntries(selected)
}

function jsonQuery(graphql) {
  const field = parse(graphql).definitions[0].selectionSet.selections[0]
  const [, action, model, orThrow = ''] = OPERATION.exec(field.name.value)
  const json = jsonFields.get(model) ?? new Set()
  return {
    modelName: model || undefined,
    action: action + orThrow,
    query: { arguments: argumentsOf(field, json), selection: selectionOf(field, json) },
  }
}

function untagged(value) {
  if (Array.isArray(value)) return value.map(untagged)
  if (value === null || typeof value !== 'object') return value
  if ('$type' in value) return value.$type === 'BigInt' ? Number(value.value) : value.value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, untagged(inner)]))
}

async function start() {
  const runtime = path.join(path.dirname(require.resolve('@prisma/client/package.json')), 'runtime')
  const bindings = require(path.join(runtime, 'query_engine_bg.postgresql.js'))
  const code = fs.readFileSync(path.join(runtime, 'query_engine_bg.postgresql.wasm'))
  const imports = { './query_engine_bg.js': bindings }
  bindings.__wbg_set_wasm((await WebAssembly.instantiate(code, imports)).instance.exports)
  const pool = new Pool({ connectionString: process.env.DATABASE_URL })
  const engine = new bindings.QueryEngine(
    {
      configDir: '.',
      datamodel: schema,
      datasourceOverrides: {},
      engineProtocol: 'json',
      env: process.env,
      ignoreEnvVarErrors: true,
      logLevel: 'error',
      logQueries: false,
    },
    () => {},
    bindAdapter(new PrismaPg(pool)),
  )
  await engine.connect(NO_TRACE)
  return engine
}

async function answer(engine, request, body) {
  const transaction = request.headers['x-transaction-id']
  const [, id, verb] = /^\/transaction\/(?:([^/]+)\/)?(start|commit|rollback)/.exec(request.url) ?? []
  if (verb === 'start') return JSON.parse(await engine.startTransaction(body, NO_TRACE))
  if (verb) return JSON.parse((await engine[`${verb}Transaction`](id, NO_TRACE)) || '{}')
  if (request.method === 'GET') return { status: 'ok' }
  const query = JSON.stringify(jsonQuery(JSON.parse(body).query))
  const reply = JSON.parse(await engine.query(query, NO_TRACE, transaction))
  return reply.errors ? reply : { data: { result: untagged(Object.values(reply.data)[0]) } }
}

async function main() {
  const engine = await start()
  const server = http.createServer(async (request, response) => {
    let reply
    try {
      let body = ''
      for await (const chunk of request) body += chunk
      reply = await answer(engine, request, body)
    } catch (error) {
      reply = { errors: [{ error: String(error) }] }
    }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(reply))
  })
  server.listen(Number(process.argv[process.argv.indexOf('-p') + 1]), 'localhost')
}

// A proxy that was killed cannot say goodbye.
const parent = process.ppid
setInterval(() => process.ppid === parent || process.exit(0), 500)
process.on('SIGINT', () => process.exit(0))
process.on('SIGTERM', () => process.exit(0))
main()
