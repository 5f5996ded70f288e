import { beforeAll, describe, expect, test } from "vitest";
import type { City } from "../../src/cli/cities.ts";
import {
  cityKey,
  cityLine,
  haversine,
  loadCities,
  nearestRegion,
  REGION_SITES,
  sampleCities,
} from "../../src/cli/cities.ts";

let cities: readonly City[] = [];

beforeAll(() => {
  cities = loadCities();
});

function city(name: string, country: string): City {
  const found = cities.find((place) => place.name === name && place.country === country);
  if (!found) throw new Error(`${name} is gone from the data set`);
  return found;
}

describe("keys of cities", () => {
  test("all 171,075 places have a key of their own", () => {
    expect(cities.length).toBe(171_075);
    expect(new Set(cities.map(cityKey)).size).toBe(171_075);
  });

  test("country, admin1 and name alone would not do, nor would admin2 beside them", () => {
    expect(new Set(cities.map((c) => `${c.country}/${c.admin1}/${c.name}`)).size).toBe(168_750);
    expect(new Set(cities.map((c) => `${c.country}/${c.admin1}/${c.name}/${c.admin2}`)).size).toBe(170_466);
  });

  test("every key fits the limit of 1,024 bytes and has no segment that a URL would drop", () => {
    const unfit = cities
      .map(cityKey)
      .filter((key) => Buffer.byteLength(key) > 1024 || key.split("/").some((part) => /^\.{0,2}$/.test(part)));
    expect(unfit).toEqual([]);
  });

  test("a key depends on the place alone", () => {
    expect(cityKey(city("Lyon", "FR"))).toBe("FR/84/Lyon@45.74906,4.84789");
    const half = sampleCities(cities, 1000);
    expect(half.every((place) => cities.includes(place))).toBe(true);
  });

  test("a line of the import is a map of six fields", () => {
    expect(JSON.parse(cityLine(city("Lyon", "FR")))).toEqual({
      bucket: "cities",
      key: "FR/84/Lyon@45.74906,4.84789",
      type: "map",
      value: { name: "Lyon", country: "FR", admin1: "84", admin2: "69", lat: 45.74906, lng: 4.84789 },
    });
  });
});

describe("regions of cities", () => {
  test("well-known places go where one would look for them", () => {
    const expected: [string, string, string][] = [
      ["Berlin", "DE", "eu"],
      ["Nairobi", "KE", "eu"],
      ["Chicago", "US", "us"],
      ["Lima", "PE", "us"],
      ["Tokyo", "JP", "ap"],
      ["Sydney", "AU", "ap"],
      ["Mumbai", "IN", "ap"],
      ["Auckland", "NZ", "ap"],
    ];
    for (const [name, country, region] of expected)
      expect([name, nearestRegion(city(name, country))]).toEqual([name, region]);
  });

  test("every place has exactly one region, and the shares are these", () => {
    const shares = new Map<string, number>();
    for (const place of cities) shares.set(nearestRegion(place), (shares.get(nearestRegion(place)) ?? 0) + 1);
    expect(Object.fromEntries(shares)).toEqual({ eu: 93_426, us: 44_163, ap: 33_486 });
  });

  test("the chosen region is never farther by great circle than another", () => {
    for (const place of sampleCities(cities, 2000)) {
      const at = { lat: Number(place.lat), lng: Number(place.lng) };
      const chosen = REGION_SITES.get(nearestRegion(place));
      for (const site of REGION_SITES.values())
        expect(chosen && haversine(at, chosen) <= haversine(at, site)).toBe(true);
    }
  });

  test("distance crosses the date line and the poles the short way", () => {
    const fiji = { lat: -17.7, lng: 178 };
    const samoa = { lat: -13.8, lng: -171.8 };
    expect(haversine(fiji, samoa)).toBeLessThan(haversine(fiji, { lat: -17.7, lng: 150 }));
    expect(haversine({ lat: 89, lng: 0 }, { lat: 89, lng: 180 })).toBeLessThan(
      haversine({ lat: 89, lng: 0 }, { lat: 80, lng: 0 }),
    );
  });
});

test("a sample is spread over the list, has no place twice, and is the beginning of every larger one", () => {
  const sample = sampleCities(cities, 500);
  expect(new Set(sample.map(cityKey)).size).toBe(500);
  expect(sampleCities(cities, 500).map(cityKey)).toEqual(sample.map(cityKey));
  expect(new Set(sample.map(({ country }) => country)).size).toBeGreaterThan(50);
  expect(sampleCities(cities, 400).map(cityKey)).toEqual(sample.slice(0, 400).map(cityKey));
  expect(new Set(sampleCities(cities, 10 ** 9).map(cityKey)).size).toBe(171_075);
});
